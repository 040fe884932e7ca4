from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ram.labels import LabelSystem, Tag
from ram.labels.review import COLUMNS, read_review
from ram.labels.select import Group
from ram.labels.suggest import suggestions
from ram.labels.vocabulary import Vocabulary
from ram.labels.wordnet import load_wordnet

WORDNET = load_wordnet()


def suggested(
    *tags: dict[str, Any], dropped: dict[str, list[Group]] | None = None, listed: tuple[str, ...] = ()
) -> list:
    labels = LabelSystem([Tag(tag_id=i, **values) for i, values in enumerate(tags)])
    vocabulary = Vocabulary(name="list", kind="noun", entries=tuple((name,) for name in listed))
    frame = suggestions(labels, dropped or {}, {"list": vocabulary}, WORDNET)
    assert list(frame.columns) == list(COLUMNS)
    assert set(frame["decision"]) <= {""}
    return list(frame[["action", "tag", "value", "reason"]].itertuples(index=False, name=None))


def group(phrase: str, count: int = 4) -> Group:
    return Group(reading="noun", phrases=[phrase], kinds=Counter(object=count))


def test_a_misspelt_word_is_suggested_for_the_tag_a_letter_away() -> None:
    rare = {"rare": [group("dalmation"), group("dalmatians"), group("dalmatia"), group("straw hut")]}
    rows = suggested({"name": "dalmatian"}, {"name": "straw hat"}, dropped=rare, listed=("dalmatia",))
    merges = [row for row in rows if row[0] == "merge"]
    assert merges == [("merge", "dalmation", "dalmatian", "near spelling")]  # the others are words


def test_synonyms_that_share_no_sense_are_suggested_to_be_split() -> None:
    rows = suggested({"name": "car", "synonyms": ("automobile", "violin")}, {"name": "bicycle", "synonyms": ("bike",)})
    assert rows == [("split", "car", "violin", "WordNet disagrees")]


def test_a_noun_that_is_only_an_adjective_elsewhere_is_suggested_as_one() -> None:
    assert ("kind", "shaggy", "attribute", "WordNet disagrees") in suggested({"name": "shaggy"})
    assert suggested({"name": "swinging", "kind": "action", "synonyms": ("swing (action)",)}) == []


def test_ideas_are_suggested_to_be_dropped_and_listed_things_are_not() -> None:
    assert ("drop", "competition", "", "hardly seen") in suggested({"name": "competition"})
    assert suggested({"name": "competition"}, listed=("competition",)) == []
    assert suggested({"name": "dog"}, {"name": "beach", "kind": "scene"}) == []


def test_words_for_several_things_are_left_to_the_person() -> None:
    rows = suggested({"name": "bat", "frequency": 5}, {"name": "crane", "frequency": 9}, {"name": "dog"})
    assert rows == [("", "crane", "", "ambiguous"), ("", "bat", "", "ambiguous")]


def test_frequent_phrases_that_were_dropped_can_be_kept_but_for_the_stop_list(tmp_path: Path) -> None:
    rows = suggested(
        dropped={"over_max_tags": [group("zither", 3), group("lute", 8)], "stop_list": [group("photo", 90)]}
    )
    assert rows == [("keep", name, "object", "frequent but dropped") for name in ("lute", "zither")]


def test_suggestions_are_rows_that_the_review_reads(tmp_path: Path) -> None:
    labels = LabelSystem([Tag(tag_id=0, name="bat"), Tag(tag_id=1, name="competition")])
    frame = suggestions(labels, {"rare": [group("zither")]}, {}, WORDNET)
    frame.to_csv(tmp_path / "review.csv", index=False)
    assert [row.decision for row in read_review(tmp_path / "review.csv")] == [""] * len(frame)
    assert len(frame) == 3
