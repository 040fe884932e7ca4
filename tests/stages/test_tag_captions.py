from __future__ import annotations

from pathlib import Path

import pytest

from ram.io.tables import Table, write_table
from ram.labels import LabelSystem, Tag
from ram.labels.implications import Extent
from ram.pipeline.catalog import CATALOG
from ram.stages.tag_captions import Inputs, Params, run

TAGS = LabelSystem(
    [
        Tag(tag_id=0, name="person"),
        Tag(tag_id=1, name="man", parents=("person",)),
        Tag(tag_id=2, name="truck", parents=("vehicle",)),
        Tag(tag_id=3, name="vehicle"),
        Tag(tag_id=4, name="park", kind="action"),
        Tag(tag_id=5, name="surfboard"),
    ]
)
ROWS = [
    ("a", 0, "man", "object"),
    ("a", 1, "man", "object"),
    ("a", 1, "ice cream truck", "object"),
    ("a", 2, "park", "scene"),
    ("b", 0, "people", "object"),
    ("b", 0, "men", "object"),
    ("b", 1, "park", "action"),
    ("c", 0, "unicorn", "object"),
    ("d", 0, "surfer", "object"),
]


def tagged(tmp_path: Path, implied: bool, things: Extent = "none") -> list[tuple[object, ...]]:
    schema = CATALOG["caption_phrases"].schema
    names = ("image_id", "caption_index", "phrase", "kind")
    write_table([dict(zip(names, row, strict=True)) | {"split": "train"} for row in ROWS], tmp_path, schema)
    inputs = Inputs(caption_phrases=Table(tmp_path, schema), label_system=TAGS.to_json())
    work = run(inputs, Params(implied_parents=implied, implied_things=things)).parsed_tags.work
    table = work.function(work.items[0])
    assert table.schema == CATALOG["parsed_tags"].schema
    assert set(table["score"].to_pylist()) == {1.0}
    columns = ("image_id", "tag_id", "origin", "caption_indices")
    return [tuple(row[column] for column in columns) for row in table.to_pylist()]


def test_an_image_has_one_row_a_tag_with_the_captions_that_name_it(tmp_path: Path) -> None:
    assert tagged(tmp_path, implied=False) == [
        ("a", 1, "caption", [0, 1]),
        ("a", 2, "caption", [1]),
        ("b", 0, "caption", [0]),
        ("b", 1, "caption", [0]),
        ("b", 4, "caption", [1]),
    ]


def test_parents_are_added_as_implied_unless_a_caption_names_them(tmp_path: Path) -> None:
    assert tagged(tmp_path, implied=True) == [
        ("a", 0, "implied", [0, 1]),
        ("a", 1, "caption", [0, 1]),
        ("a", 2, "caption", [1]),
        ("a", 3, "implied", [1]),
        ("b", 0, "caption", [0]),
        ("b", 1, "caption", [0]),
        ("b", 4, "caption", [1]),
        ("d", 0, "implied", [0]),  # a surfer is no tag, and a kind of one
    ]


def test_things_that_words_imply_are_added_as_implied(tmp_path: Path) -> None:
    rows = tagged(tmp_path, implied=False, things="sure")
    assert [row for row in rows if row[0] == "d"] == [("d", 0, "implied", [0]), ("d", 5, "implied", [0])]


def test_an_unknown_extent_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="none, sure, likely, got 'all'"):
        Params(implied_parents=True, implied_things="all")  # type: ignore[arg-type]
