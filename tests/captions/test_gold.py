"""The goals of the caption parser on the captions annotated by hand (guidelines in the head of gold.tsv)."""

from __future__ import annotations

import re

import pytest

from benchmarks.caption_gold import HALVES, KINDS, Gold, Score, find_phrases, read_gold, scores
from ram.captions import Phrase

GOALS = {"object": 0.9, "attribute": 0.85, "action": 0.85}


@pytest.fixture(scope="module")
def found() -> list[frozenset[Phrase]]:
    return find_phrases([row.caption for row in read_gold()])


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("kind", GOALS)
def test_precision_and_recall_reach_the_goals_in_both_halves(
    half: str, kind: str, found: list[frozenset[Phrase]]
) -> None:
    pairs = [(gold, phrases) for gold, phrases in zip(read_gold(), found, strict=True) if gold.half == half]
    score = scores([gold for gold, _ in pairs], [phrases for _, phrases in pairs])[kind]
    assert min(score.precision, score.recall) >= GOALS[kind]


def test_the_gold_captions_differ_and_their_phrases_are_such_as_a_parser_may_give() -> None:
    gold = read_gold()
    assert len({row.caption for row in gold}) == len(gold) >= 220
    for row in gold:
        assert row.half in HALVES
        for text, kind in row.phrases:
            assert kind in KINDS
            assert re.fullmatch(r"[a-z][a-z']*( [a-z][a-z']*){0,3}", text), text


def test_a_score_counts_what_is_right_among_what_was_found_and_what_was_wanted() -> None:
    dog, cat, red = Phrase("dog", "object"), Phrase("cat", "object"), Phrase("red", "attribute")
    found = scores([Gold("check", "", frozenset({dog, red}))], [frozenset({dog, cat, Phrase("red", "object")})])
    assert found["object"] == Score(num_right=1, num_found=3, num_gold=1)
    assert (found["object"].precision, found["object"].recall) == (1 / 3, 1)
    assert found["attribute"].f1 == 0
    assert found["scene"].f1 == 1
