from __future__ import annotations

import dataclasses
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ram.labels import LabelSystem, Tag
from ram.labels.diff import LabelDiff, describe, diff


def system(*tags: dict[str, Any]) -> LabelSystem:
    return LabelSystem([Tag(tag_id=i, **values) for i, values in enumerate(tags)])


BEFORE = (
    {"name": "dog", "frequency": 100},
    {"name": "rowboat", "synonyms": ("dinghy",), "frequency": 10},
    {"name": "sofa", "frequency": 10},
    {"name": "couch", "frequency": 20},
    {"name": "glass", "synonyms": ("glasses",)},
    {"name": "beach"},
    {"name": "help"},
)
AFTER = (
    {"name": "dog", "frequency": 200, "parents": ("animal",)},
    {"name": "dinghy", "synonyms": ("rowboat", "skiff"), "frequency": 11},
    {"name": "couch", "synonyms": ("sofa",), "frequency": 30},
    {"name": "glass"},
    {"name": "glasses"},
    {"name": "beach", "kind": "scene"},
    {"name": "animal"},
)


def test_every_sort_of_change_is_told() -> None:
    change = diff(system(*BEFORE), system(*AFTER))
    assert change.added == ["animal"]
    assert change.removed == ["help"]
    assert change.renamed == [("rowboat", "dinghy")]
    assert change.merged == [("sofa", "couch")]
    assert change.split == [("glasses", "glass")]
    assert change.kind == {"beach": ("object", "scene")}
    assert change.parents == {"dog": ([], ["animal"])}
    assert change.synonyms == {"dinghy": ([], ["skiff"]), "couch": ([], ["sofa"]), "glass": (["glasses"], [])}
    assert change.frequency == {"dog": (100, 200), "couch": (20, 30)}  # 10 -> 11 is no news
    assert change.num_ids_moved == 2  # couch and glass moved up


def test_the_text_names_each_change_and_cuts_long_lists() -> None:
    text = describe(diff(system(*BEFORE), system(*AFTER)))
    for line in ("added (1)\n  animal", "rowboat -> dinghy", "sofa into couch", "glasses from glass",
                 "beach: object -> scene", "dog: none -> animal", "dog: 100 -> 200", "2 tags have another id"):  # fmt: skip
        assert line in text
    many = system(*({"name": f"tag {i}"} for i in range(30)))
    assert "  … and 25 more" in describe(diff(system(), many), num_shown=5)


def test_thresholds_that_moved_are_told() -> None:
    tags = system(*BEFORE)
    change = diff(tags.with_thresholds({"default": 0.5}), tags.with_thresholds({"default": 0.5, "tags": {"dog": 0.7}}))
    assert change.threshold == {"dog": (0.5, 0.7)}
    assert change.versions[0] == change.versions[1]


names = st.sampled_from(["dog", "cat", "cow", "car", "bus", "tree", "house", "road"])
tags_of = st.lists(names, unique=True, max_size=8).map(lambda chosen: system(*({"name": n} for n in chosen)))


@given(tags_of)
def test_nothing_changes_from_a_label_system_to_itself(tags: LabelSystem) -> None:
    change = diff(tags, tags)
    plain = LabelDiff(
        versions=(tags.version,) * 2, num_tags=(len(tags),) * 2, num_ids_moved=0,
        **{f.name: {} if f.name in ("kind", "parents", "synonyms", "frequency", "threshold") else []
           for f in dataclasses.fields(LabelDiff) if f.name not in ("versions", "num_tags", "num_ids_moved")},
    )  # fmt: skip
    assert change == plain
    assert describe(change).endswith("nothing changed")


@given(tags_of, tags_of)
def test_every_tag_of_both_is_kept_or_accounted_for(before: LabelSystem, after: LabelSystem) -> None:
    change, back = diff(before, after), diff(after, before)
    json.dumps(change.to_json())
    assert set(change.added) == set(after.names) - set(before.names) == set(back.removed)
    assert set(change.removed) == set(before.names) - set(after.names) == set(back.added)


def test_a_renamed_tag_is_the_one_that_shares_most_phrases() -> None:
    before = system({"name": "rowboat", "synonyms": ("dinghy", "skiff")})
    after = system({"name": "skiff"}, {"name": "dinghy", "synonyms": ("rowboat",)})
    assert diff(before, after).renamed == [("rowboat", "dinghy")]
    assert diff(before, after).split == [("skiff", "rowboat")]
