from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.captions import SKIP_REASONS, clean_caption, skip_reason


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Tom &amp; Jerry run", "Tom & Jerry run"),
        ("a dog https://example.org/x.jpg runs", "a dog runs"),
        ("a caf\u00e9 \U0001f600 <b>table</b>", "a cafe table"),
        ("<PERSON> on a horse", "person on a horse"),
        ("A DOG ON A BEACH", "a dog on a beach"),
        ("A Dog On A Beach", "a dog on a beach"),
        ("black-and-white dog", "black and white dog"),
    ],
)
def test_web_text_is_made_plain(raw: str, clean: str) -> None:
    assert clean_caption(raw) == clean


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        ("123 !!", "empty"),
        ("https://example.org", "boilerplate"),
        ("$14.99, free shipping", "boilerplate"),
        ("IMG_2034.jpg", "file_name"),
        ("DSC00012", "file_name"),
        ("photo-1.PNG", "file_name"),
        ("Le chat dort sur le canapé", "not_english"),
        ("Çocuk köpeği seviyor güneşte", "not_english"),
        ("Собака бежит", "not_english"),
        ("crème brûlée", None),
        ("a cafe on Rue de la Paix with tables", None),
        ("a" * 4000, "too_long"),
        ("dog " * 80, "too_long"),
        ("\u72ac\u304c\u8d70\u308b", "not_english"),
        ("der Hund und die Katze", "not_english"),
        ("a dog", None),
        ("Red vintage car 1967", None),
    ],
)
def test_captions_are_refused_with_a_reason(raw: str, reason: str | None) -> None:
    refusal = skip_reason(raw, clean_caption(raw), max_words=60, max_chars=1000)
    assert (refusal and refusal[0]) == reason


@given(st.text(max_size=300))
def test_cleaning_never_fails_and_gives_single_spaced_ascii(raw: str) -> None:
    clean = clean_caption(raw)
    assert clean.isascii()
    assert clean == " ".join(clean.split())
    refusal = skip_reason(raw, clean, max_words=60, max_chars=1000)
    assert refusal is None or (refusal[0] in SKIP_REASONS and refusal[1])


# Text that looks like what the rules of cleaning are about finds more than arbitrary text does.
_PIECES = (
    "a dog &amp; &lt; &amp;lt; <b> </b> <PERSON> # @ #CamelCase http:// www. x.com .jpg IMG_12 12x18 in $ 9.99 50% off "
    "for sale photo by credit: stock images of | - — ’ \u0301 é ß İ ﬁ ☃ 😀 ( ) , . ; : ' \" w/ A NEW Title Case 4T SKU: \n \t "
    "free shipping click here _ / & ; lt"
)
PIECES = st.sampled_from(_PIECES.split(" "))
RAW = st.one_of(
    st.text(max_size=200),
    st.lists(PIECES, max_size=14).flatmap(lambda p: st.sampled_from([" ", ""]).map(lambda s: s.join(p))),
)


@settings(max_examples=400, deadline=None)
@given(RAW)
def test_cleaning_a_clean_caption_changes_nothing(raw: str) -> None:
    clean = clean_caption(raw)
    assert clean_caption(clean) == clean
    assert clean.isascii()
    assert "  " not in clean


@settings(max_examples=400, deadline=None)
@given(RAW, st.integers(1, 30), st.integers(1, 300))
def test_a_refusal_has_a_known_reason_and_a_kept_caption_has_words_within_the_limits(
    raw: str, max_words: int, max_chars: int
) -> None:
    clean = clean_caption(raw)
    refusal = skip_reason(raw, clean, max_words, max_chars)
    if refusal is None:
        assert any(c.isalpha() for c in clean)
        assert len(clean.split()) <= max_words
    else:
        assert refusal[0] in SKIP_REASONS
        assert refusal[1]


@pytest.mark.parametrize("piece", ["a@", "<", "&", "#", "x-", "1x", "A1-", "photo by ", "( ", ",;", "&amp;"])
def test_cleaning_takes_time_in_proportion_to_the_text(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        start = time.process_time()
        clean_caption(text)
        return time.process_time() - start

    seconds(100)
    assert seconds(40_000) < 60 * seconds(4_000) + 0.1


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Cat on a mat #CatsOfInstagram", "Cat on a mat Cats Of"),
        ("Red vase, 12x18 in, $14.99, SKU: CM-1022", "Red vase"),
        ("Old stone bridge.jpg", "Old stone bridge"),
        ("Blue chair for sale", "Blue chair"),
        ("A dog | Shutterstock", "A dog"),
        ("A dog runs. Photo by John Smith", "A dog runs."),
        ("goggles w/ brass frame", "goggles with brass frame"),
        ("a 1960s car", "a 1960s car"),
        ("a photo of a dog", "a photo of a dog"),
        ("A stock photo of a dog", "A stock photo of a dog"),
    ],
)
def test_words_of_shops_and_files_go_and_the_rest_stays(raw: str, clean: str) -> None:
    assert clean_caption(raw) == clean
