from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ram.caption_parsing import SKIP_REASONS, clean_caption, parse_captions, skip_reason
from ram.catalog import KINDS


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
        ("https://example.org", "empty"),
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


WORDS = st.sampled_from(
    [
        "a",
        "dog",
        "of",
        "no",
        "not",
        "without",
        "photo",
        "the",
        "and",
        "hot",
        "red",
        "glasses",
        "is",
        "running",
        ",",
        ".",
        "&",
        "orange",
        "group",
        "2",
        "t-shirt",
        "of",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=120), st.lists(WORDS, max_size=15).map(" ".join)))
def test_phrases_of_any_text_are_short_lower_case_and_of_a_known_kind(raw: str) -> None:
    (found,) = parse_captions([clean_caption(raw)])
    assert len(found) == len(set(found))
    for text, kind in found:
        assert kind in KINDS
        assert text == text.lower() == " ".join(text.split())
        assert 1 <= len(text.split()) <= 4
