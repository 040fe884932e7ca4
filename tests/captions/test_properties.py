"""What holds for the phrases of any text."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ram.captions import clean_caption, parse_captions
from ram.pipeline.catalog import KINDS

_WORDS = (
    "a dog of no not without photo the and hot red glasses is running , . & orange group 2 t-shirt neither nor nobody but "
    "like could be about to rather than looks apple trees geese sign parking with man's IMG_1.jpg #BigDog chest drawers"
)
WORDS = st.sampled_from(_WORDS.split())
TEXTS = st.one_of(st.text(max_size=120), st.lists(WORDS, max_size=18).map(" ".join))
SLOW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(TEXTS, st.booleans())
def test_phrases_are_lower_case_words_of_a_known_kind_each_once(raw: str, cleaned: bool) -> None:
    (found,) = parse_captions([clean_caption(raw) if cleaned else raw])
    assert len(found) == len(set(found))
    for text, kind in found:
        assert kind in KINDS
        assert re.fullmatch(r"[a-z][a-z']*( [a-z][a-z']*){0,3}", text)


@SLOW
@given(st.lists(TEXTS, max_size=6))
def test_captions_parsed_together_have_the_phrases_they_have_alone(raws: list[str]) -> None:
    captions = [clean_caption(raw) for raw in raws]
    assert parse_captions(captions) == [parse_captions([caption])[0] for caption in captions]


@SLOW
@given(st.sampled_from(["dog", "bench", "umbrella", "cake"]), st.sampled_from(["kite", "helmet", "saddle", "lamp"]))
def test_what_a_caption_denies_is_left_out_and_what_it_says_besides_stays(there: str, absent: str) -> None:
    captions = [f"a {there} without a {absent}", f"a {there} and no {absent}", f"a {there} instead of a {absent}"]
    for found in parse_captions(captions):
        assert [phrase.text for phrase in found] == [there]


@SLOW
@given(
    st.sampled_from(["photo", "picture", "drawing", "close-up", "stock photo", "black and white photograph"]), st.data()
)
def test_words_for_the_image_change_nothing(image: str, data: st.DataObject) -> None:
    caption = data.draw(st.sampled_from(["a dog on a beach", "two men riding horses", "a red bus"]))
    plain, framed = parse_captions([clean_caption(caption), clean_caption(f"a {image} of {caption}")])
    assert framed == plain
