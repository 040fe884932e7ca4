from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.labels import EmbeddingProvenance, LabelSystem, Tag


def system() -> LabelSystem:
    return LabelSystem(
        [
            Tag(tag_id=0, name="person", synonyms=("people",)),
            Tag(tag_id=1, name="man", parents=("person",)),
            Tag(tag_id=2, name="gray", kind="attribute"),
            Tag(tag_id=3, name="orange", synonyms=("tangerine",)),
            Tag(tag_id=4, name="orange color", synonyms=("orange (attribute)",), kind="attribute"),
            Tag(tag_id=5, name="t-shirt"),
        ]
    )


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("Person", "person"),
        ("people", "person"),
        ("men", "man"),
        ("grey", "gray"),
        ("oranges", "orange"),
        ("T Shirt", "t-shirt"),
        ("tshirts", "t-shirt"),
        ("dog", None),
        ("", None),
    ],
)
def test_find_knows_synonyms_plurals_and_spellings(phrase: str, name: str | None) -> None:
    tag = system().find(phrase)
    assert (tag and tag.name) == name


def test_a_word_with_two_readings_is_found_by_kind() -> None:
    tags = system()
    found = [tags.find("orange", kind) for kind in (None, "object", "scene", "attribute", "action")]
    assert [tag and tag.tag_id for tag in found] == [3, 3, 3, 4, None]


def test_json_gives_the_same_label_system_back() -> None:
    tags = system()
    again = LabelSystem.from_json(json.loads(json.dumps(tags.to_json())))
    assert again.tags == tags.tags
    assert again.version == tags.version
    assert len(tags.version) == 12


@pytest.mark.parametrize(
    "change", [{"name": "shirt"}, {"synonyms": ("tee",)}, {"kind": "scene"}, {"parents": ("person",)}]
)
def test_the_version_tells_what_tags_mean(change: dict[str, Any]) -> None:
    tags = system()
    assert LabelSystem(tags.tags[:-1]).version != tags.version
    assert LabelSystem([*tags.tags[:-1], dataclasses.replace(tags[5], **change)]).version != tags.version


def test_frequencies_sources_embeddings_and_thresholds_do_not_change_the_version() -> None:
    tags = system()
    counted = LabelSystem([dataclasses.replace(tag, frequency=7, sources=("captions",)) for tag in tags])
    complete = counted.with_embeddings(provenance(tags.version)).with_thresholds({"default": 0.4, "tags": {"man": 0.9}})
    assert counted.version == complete.version == tags.version
    assert [tag.threshold for tag in complete] == [0.4, 0.9, 0.4, 0.4, 0.4, 0.4]


def provenance(version: str) -> EmbeddingProvenance:
    return EmbeddingProvenance(
        text_encoder="clip:x", templates="ram", width=512, content="0" * 12, label_system_version=version
    )


def test_the_complete_document_comes_back_whole() -> None:
    tags = system()
    complete = tags.with_embeddings(provenance(tags.version)).with_thresholds({"default": 0.25})
    again = LabelSystem.from_json(json.loads(json.dumps(complete.to_json())))
    assert (again.tags, again.embeddings) == (complete.tags, complete.embeddings)


def test_embeddings_of_another_version_are_refused() -> None:
    document = system().with_embeddings(provenance(system().version)).to_json()
    document["tags"] = document["tags"][:-1]
    with pytest.raises(ValueError, match=r"the embeddings are of label system .* embed again"):
        LabelSystem.from_json(document)
    with pytest.raises(ValueError, match="between 0 and 1"):
        system().with_thresholds({"default": 1.5})


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([Tag(tag_id=0, name="dog"), Tag(tag_id=1, name="dog")], "two tags"),
        ([Tag(tag_id=0, name="t-shirt"), Tag(tag_id=1, name="t shirt")], "two tags"),
        ([Tag(tag_id=0, name="dog", synonyms=("cat",)), Tag(tag_id=1, name="cat")], "mean two tags"),
        ([Tag(tag_id=0, name="a", synonyms=("x",)), Tag(tag_id=1, name="b", synonyms=("x",))], "mean two tags"),
        ([Tag(tag_id=1, name="dog")], "in order"),
        ([Tag(tag_id=0, name="dog"), Tag(tag_id=2, name="cat")], "in order"),
    ],
)
def test_contradictions_are_refused(tags: list[Tag], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSystem(tags)


def test_malformed_tags_are_refused() -> None:
    for values in ({"name": "Dog"}, {"name": ""}, {"name": "dog", "kind": "verb"}):
        with pytest.raises(ValueError):
            Tag(tag_id=0, **values)
    with pytest.raises(ValueError, match="unknown fields"):
        LabelSystem.from_json({"tags": [{"tag_id": 0, "name": "dog", "color": "red"}]})
    with pytest.raises(ValueError, match="lacks"):
        LabelSystem.from_json({"tags": [{"name": "dog"}]})
    with pytest.raises(ValueError, match=r"has the key 'tags'; this document has \['labels'\]"):
        LabelSystem.from_json({"labels": []})
    with pytest.raises(ValueError, match=r"provenance of embeddings lacks \['content', 'width'\]"):
        EmbeddingProvenance.from_json({"text_encoder": "x", "templates": "ram", "label_system_version": "0"})


def test_thresholds_may_be_0_and_1_and_a_tag_that_was_never_counted_has_frequency_0() -> None:
    for threshold in (0.0, 1.0):
        assert Tag(tag_id=0, name="dog", threshold=threshold).threshold == threshold
    assert Tag(tag_id=0, name="dog").frequency == 0


def test_the_very_word_goes_before_another_spelling_of_it() -> None:
    tags = LabelSystem([Tag(tag_id=0, name="hot dog"), Tag(tag_id=1, name="hotdog")])
    assert [tag.name for phrase in ("hot dog", "hotdog") if (tag := tags.find(phrase))] == ["hot dog", "hotdog"]


def test_the_version_is_that_of_the_words_in_any_release() -> None:
    tags = LabelSystem([Tag(tag_id=0, name="café", synonyms=("bistro",), kind="scene", parents=("building",))])
    content = '[[0, "café", ["bistro"], "scene", ["building"]]]'
    assert tags.version == hashlib.sha256(content.encode()).hexdigest()[:12]


@given(st.lists(st.sampled_from(["person", "people", "Dog", "dogs", "cat", "sea lion", "grey", "T shirt"]), max_size=8))
def test_extending_keeps_old_ids_and_makes_every_name_known(names: list[str]) -> None:
    tags = system()
    longer = tags.extended(names, kind="object", source="test")
    assert longer.tags[: len(tags)] == tags.tags
    assert {tag.sources for tag in longer.tags[len(tags) :]} <= {("test",)}
    assert all(longer.find(name) is not None for name in names)
    assert longer.extended(names).tags == longer.tags
