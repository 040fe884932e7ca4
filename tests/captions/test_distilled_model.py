from __future__ import annotations

import itertools
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.captions import Phrase, clean_caption, parse_captions, skip_reason
from ram.captions.distilled.decode import DictionaryParser
from ram.captions.distilled.distillation import agreement, distil_table
from ram.captions.distilled.model import PhraseTable
from ram.pipeline.catalog import KINDS

BEINGS = ["man", "woman", "dogs", "people", "children", "cat", "surfer"]
ACTS = [
    "holding a surf board",
    "boards a train",
    "picks up an orange",
    "wearing an orange shirt",
    "with no hat",
    "on a tennis court",
]
PLACES = [
    "near a fire truck",
    "in the park",
    "on a wooden bench",
    "beside a parked car",
    "without a ball",
    "at the beach",
]


def caption(being: str, act: str, place: str) -> str:
    return f"a {being} {act} {place}" if not being.endswith(("s", "ple", "ren")) else f"two {being} {act} {place}"


ALL = [caption(*parts) for parts in itertools.product(BEINGS, ACTS, PLACES)]
random.Random(1).shuffle(ALL)
LEARNED, OTHERS = ALL[:200], ALL[200:]


@pytest.fixture(scope="module")
def table() -> PhraseTable:
    return distil_table(LEARNED, parse_captions(LEARNED), seed=1)


def parser_of(table: PhraseTable) -> DictionaryParser:
    return DictionaryParser(table, max_words=60, max_chars=1000)


def test_captions_that_were_not_learned_get_the_phrases_of_the_parser(table: PhraseTable) -> None:
    assert agreement(parser_of(table).parse(OTHERS), parse_captions(OTHERS))["f1"] > 0.97


def test_the_words_around_a_word_tell_what_it_is(table: PhraseTable) -> None:
    lifted, worn, held, boarded = parser_of(table).parse(
        [
            "a man picks up an orange",
            "a woman wearing an orange shirt",
            "a cat holding a surf board",
            "a man boards a train",
        ]
    )
    assert Phrase("orange", "object") in lifted
    assert Phrase("orange", "attribute") in worn
    assert Phrase("board", "action") not in held
    assert Phrase("board", "action") in boarded


def test_what_a_caption_denies_gives_no_phrase(table: PhraseTable) -> None:
    (denied,) = parser_of(table).parse(["a surfer with no hat without a ball"])
    assert {phrase.text for phrase in denied} == {"surfer"}


def test_a_denial_reaches_the_next_words_until_a_mark_or_the_end_of_the_caption(table: PhraseTable) -> None:
    names = ["<>", "<>", "man", "without", "a", "hat", "<mark>", "cat", "no", "<>", "<>", "park"]
    reached = table.columns(np.array([table.ids[name] for name in names]))["d"]
    without = table.ids["without"]
    assert reached.tolist() == [0, 0, 0, 0, without, without, 0, 0, 0, 0, 0, 0]


def test_plurals_and_irregular_forms_become_the_word(table: PhraseTable) -> None:
    (found,) = parser_of(table).parse(["two people and two dogs and two children in the park"])
    assert {"person", "dog", "child"} <= {phrase.text for phrase in found}


def test_words_that_were_never_seen_are_judged_by_their_ending_and_place(table: PhraseTable) -> None:
    (found,) = parser_of(table).parse(["two zebras near a wug"])
    assert Phrase("wug", "object") in found


def test_a_table_read_back_finds_the_same(table: PhraseTable) -> None:
    again = PhraseTable.from_json(json.loads(json.dumps(table.to_json())))
    assert again.version == table.version
    assert parser_of(again).parse(ALL) == parser_of(table).parse(ALL)


def test_the_same_captions_give_the_same_table(table: PhraseTable) -> None:
    assert distil_table(LEARNED, parse_captions(LEARNED), seed=1).to_json() == table.to_json()


def test_a_document_that_was_changed_or_of_another_format_is_refused(table: PhraseTable) -> None:
    document = table.to_json()
    with pytest.raises(ValueError, match="distil anew"):
        PhraseTable.from_json(document | {"format": 0})
    with pytest.raises(ValueError, match="has been changed"):
        PhraseTable.from_json(document | {"compounds": {"fire truck": "dog"}})


def test_captions_without_a_phrase_give_no_table() -> None:
    with pytest.raises(ValueError, match="num_distilled"):
        distil_table(["and of the"], [[]], seed=1)


def test_one_caption_at_a_time_gives_what_all_together_give(table: PhraseTable) -> None:
    together = parser_of(table).parse(OTHERS)
    one_by_one = parser_of(table)
    assert [one_by_one.parse([caption])[0] for caption in OTHERS] == together


def test_a_parser_that_forgets_its_words_finds_the_same(table: PhraseTable, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = parser_of(table).parse(OTHERS)
    monkeypatch.setattr("ram.captions.distilled.decode._MAX_TOKENS", 5)
    forgetful = parser_of(table)
    assert [p for i in range(0, len(OTHERS), 3) for p in forgetful.parse(OTHERS[i : i + 3])] == expected


WORDS = st.sampled_from(
    ["a", "dog", "of", "no", "surf", "board", "tennis", "fire", "truck", "orange", "up", "picks", "wugs", ",", "2"]
)


@settings(max_examples=100, deadline=None)
@given(raw=st.one_of(st.text(max_size=120), st.lists(WORDS, max_size=15).map(" ".join)))
def test_phrases_of_any_text_are_short_lower_case_and_of_a_known_kind(table: PhraseTable, raw: str) -> None:
    parser = parser_of(table)
    (found,) = parser.parse([raw])
    if skip_reason(raw, clean_caption(raw), max_words=60, max_chars=1000):
        assert not found
    assert len(found) == len(set(found))
    for text, kind in found:
        assert kind in KINDS
        assert text == text.lower() == " ".join(text.split())
        assert 1 <= len(text.split()) <= 4
