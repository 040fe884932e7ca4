from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ram.labels import LabelSystem, Tag
from ram.labels.tagging import CaptionTagger, Stated, pool, tag_images
from ram.labels.wordnet import load_wordnet

TAGS = LabelSystem(
    [
        Tag(tag_id=0, name="dog", parents=("animal",)),
        Tag(tag_id=1, name="animal"),
        Tag(tag_id=2, name="oven"),
        Tag(tag_id=3, name="kitchen", kind="scene"),
        Tag(tag_id=4, name="run", kind="action"),
    ]
)


def tagger(parents: bool = True, things: str = "likely") -> CaptionTagger:
    return CaptionTagger(TAGS, load_wordnet(), implied_parents=parents, implied_things=things)  # type: ignore[arg-type]


def test_a_phrase_that_is_no_tag_counts_for_the_nearest_tag_it_is_a_kind_of() -> None:
    assert tagger()([("poodle", "object")]) == Stated(set(), {0, 1}, set(), set())
    assert tagger(parents=False)([("poodle", "object")]) == Stated(set(), set(), set(), set())


def test_what_is_named_may_be_implied_too() -> None:
    assert tagger()([("dog", "object"), ("animal", "object")]) == Stated({0, 1}, {1}, set(), set())


def test_a_kitchen_makes_an_oven_likely() -> None:
    phrases = [("kitchen", "scene")]
    assert tagger()(phrases) == Stated({3}, set(), {2}, set())
    assert tagger(things="sure")(phrases) == Stated({3}, set(), set(), set())


def test_what_is_likely_wants_two_captions_of_three() -> None:
    empty = set[int]()
    one, none = Stated({3}, empty, {2}, empty), Stated(empty, empty, empty, empty)
    assert pool({0: one}) == {3: ("caption", {0}), 2: ("implied", {0})}
    assert pool({0: one, 1: none}) == {3: ("caption", {0}), 2: ("implied", {0})}
    assert pool({0: one, 1: none, 2: none}) == {3: ("caption", {0})}
    assert pool({0: one, 1: none, 2: one}) == {3: ("caption", {0, 2}), 2: ("implied", {0, 2})}


def test_what_is_possible_wants_two_captions_that_make_it_so() -> None:
    empty = set[int]()
    possible, likely = Stated(empty, empty, empty, {2}), Stated(empty, empty, {2}, empty)
    assert pool({0: possible}) == {}
    assert pool({0: possible, 1: possible}) == {2: ("implied", {0, 1})}
    assert pool({0: possible, 1: likely, 2: Stated({1}, empty, empty, empty)})[2] == ("implied", {0, 1})


tags = st.sets(st.integers(0, 6), max_size=4)


@given(st.dictionaries(st.integers(0, 9), st.builds(Stated, tags, tags, tags, tags), max_size=6))
def test_pooling_keeps_every_named_and_implied_tag_and_invents_none(captions: dict[int, Stated[int]]) -> None:
    pooled = pool(captions)
    named = set().union(*(c.named for c in captions.values()))
    implied = set().union(*(c.implied for c in captions.values()))
    likely = set().union(*(c.likely | c.possible for c in captions.values()))
    assert {tag for tag, (origin, _) in pooled.items() if origin == "caption"} == named
    assert named | implied <= set(pooled) <= named | implied | likely
    assert all(numbers and numbers <= set(captions) for _, numbers in pooled.values())


def test_images_come_in_their_order_with_captions_sorted() -> None:
    rows = [
        ("b", 2, "dog", "object"),
        ("b", 0, "dog", "object"),
        ("a", 0, "run", "action"),
        ("a", 0, "stone", "object"),
    ]
    found = list(tag_images(rows, tagger(parents=False)))
    assert found == [("b", {0: ("caption", [0, 2])}), ("a", {4: ("caption", [0])})]
