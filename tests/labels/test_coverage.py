from __future__ import annotations

from ram.labels import LabelSystem, Tag
from ram.labels.coverage import coverage
from ram.labels.vocabulary import Vocabulary

TAGS = LabelSystem(
    [
        Tag(tag_id=0, name="couch", synonyms=("sofa",)),
        Tag(tag_id=1, name="mouse"),
        Tag(tag_id=2, name="orange color", synonyms=("orange (attribute)",), kind="attribute"),
        Tag(tag_id=3, name="swinging", synonyms=("swing (action)",), kind="action"),
    ]
)


def of(*names: str, kind: str = "noun", counts: dict[tuple[str, str], int] | None = None) -> dict:
    vocabulary = Vocabulary(name="list", kind=kind, entries=tuple((name,) for name in names))
    return coverage(TAGS, vocabulary, counts or {}, num_shown=2)


def test_names_are_found_exactly_by_synonym_or_not_at_all() -> None:
    found = of("couch", "sofa", "mice", "dog", "cat")
    assert (found["num_exact"], found["num_synonym"], found["num_missing"]) == (1, 2, 2)
    assert found["share"] == 3 / 5


def test_a_name_is_found_as_what_its_vocabulary_lists() -> None:
    assert of("orange", "swing")["num_missing"] == 2
    assert of("orange", "swing", kind="action")["num_missing"] == 1


def test_mentions_weigh_the_names_and_order_the_missing_ones() -> None:
    found = of(
        "couch",
        "dog",
        "cat",
        "cow",
        counts={("couch", "object"): 6, ("cat", "object"): 3, ("cow", "scene"): 1, ("dog", "action"): 9},
    )
    assert (found["num_mentions"], found["mention_share"]) == (10, 0.6)
    assert found["missing"] == ["cat", "cow"]  # to dog is an act, and none of a list of things
    assert of("zebra")["mention_share"] is None
