from __future__ import annotations

import pytest

from ram.labels import LabelSystem, Tag
from ram.labels.resolve import Resolver, is_kind_of
from ram.labels.wordnet import load_wordnet

WORDNET = load_wordnet()
NAMES = {"object": ("truck", "dog", "person", "building", "animal"), "attribute": ("red",), "action": ("look",)}


@pytest.fixture(scope="module")
def resolve() -> Resolver:
    named = [(name, kind) for kind, names in NAMES.items() for name in names]
    return Resolver(LabelSystem([Tag(tag_id=i, name=n, kind=k) for i, (n, k) in enumerate(named)]), WORDNET)


def name(tag: Tag | None) -> str | None:
    return tag.name if tag else None


@pytest.mark.parametrize(
    ("phrase", "kind", "expected"),
    [
        ("truck", "object", "truck"),
        ("ice cream truck", "object", "truck"),
        ("hot dog", "object", None),  # no dog
        ("toy truck", "object", None),
        ("truck driver", "object", None),
        ("qwertz", "object", None),
        ("look up", "action", "look"),
        ("look", "action", "look"),
        ("stare down", "action", None),
        ("red", "attribute", "red"),
        ("dark red", "attribute", None),  # an attribute has no head
    ],
)
def test_a_phrase_names_a_tag_itself_or_by_its_head(
    resolve: Resolver, phrase: str, kind: str, expected: str | None
) -> None:
    assert name(resolve(phrase, kind)) == expected
    assert name(resolve(phrase, kind)) == expected  # remembered


@pytest.mark.parametrize(
    ("phrase", "kind", "expected"),
    [
        ("poodle", "object", "dog"),
        ("skier", "object", "person"),
        ("toy poodle", "object", "dog"),
        ("zebra", "object", "animal"),
        ("dog", "object", "animal"),  # of the others, not of itself
        ("barn", "scene", "building"),
        ("qwertz poodle", "object", "dog"),  # by its head
        ("qwertz", "object", None),
        ("poodle", "action", None),
        ("poodle", "attribute", None),
    ],
)
def test_a_thing_is_a_kind_of_the_nearest_tag(resolve: Resolver, phrase: str, kind: str, expected: str | None) -> None:
    assert name(resolve.kind_of(phrase, kind)) == expected
    assert name(resolve.kind_of(phrase, kind)) == expected


def test_what_was_asked_once_is_not_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = LabelSystem([Tag(tag_id=0, name="dog", kind="object")])
    resolve, asked = Resolver(labels, WORDNET), []
    monkeypatch.setattr(Resolver, "_by_head", lambda _, phrase, kind: asked.append((phrase, kind)))
    for _ in range(3):
        assert resolve("cat", "object") is None
    assert asked == [("cat", "object")]


@pytest.mark.parametrize(
    ("compound", "head", "expected"),
    [
        ("police car", "car", True),
        ("hot dog", "dog", False),
        ("sea lion", "lion", False),
        ("teddy bear", "bear", False),
        ("pizza truck", "truck", True),  # WordNet does not have it
        ("toy truck", "truck", False),
        ("police dog", "dog", True),
    ],
)
def test_a_compound_is_a_kind_of_its_head_where_wordnet_agrees(compound: str, head: str, expected: bool) -> None:
    assert is_kind_of(compound, head, WORDNET) is expected
