from __future__ import annotations

from pathlib import Path

import pytest

from ram.catalog import CATALOG
from ram.stages.parse_captions import Inputs, Params, parse_part, run
from ram.storage import Table, write_table

PARAMS = Params(max_words=20, max_chars=200)


def pairs_table(tmp_path: Path, captions: list[str]) -> Table:
    rows = [
        {"image_id": f"s/{i // 2}", "split": "train", "caption_index": i % 2, "caption": caption}
        for i, caption in enumerate(captions)
    ]
    write_table(rows, tmp_path, CATALOG["pairs"].schema)
    return Table(tmp_path, CATALOG["pairs"].schema)


def test_every_caption_is_parsed_or_skipped_with_a_reason(tmp_path: Path) -> None:
    pairs = pairs_table(tmp_path, ["a red dog runs", "!!", "dog " * 30, "a cat sleeps"])
    phrases, skipped = parse_part(pairs.part_paths[0], PARAMS)
    found = [tuple(row.values()) for row in phrases.to_pylist()]
    assert found == [
        ("s/0", "train", 0, "red", "attribute"),
        ("s/0", "train", 0, "dog", "object"),
        ("s/0", "train", 0, "run", "action"),
        ("s/1", "train", 1, "cat", "object"),
        ("s/1", "train", 1, "sleep", "action"),
    ]
    assert [(row["image_id"], row["caption_index"], row["reason"]) for row in skipped.to_pylist()] == [
        ("s/0", 1, "empty"),
        ("s/1", 0, "too_long"),
    ]


def test_the_work_is_mapped_over_the_parts_of_pairs(tmp_path: Path) -> None:
    pairs = pairs_table(tmp_path, ["a dog", "a cat"])
    outputs = run(Inputs(pairs=pairs, pairs_check={"passed": True}), PARAMS)
    work = outputs.caption_phrases.work
    assert outputs.skipped_captions.work is work
    assert list(work.items) == pairs.part_paths
    phrases, skipped = work.function(work.items[0])
    assert phrases.schema == CATALOG["caption_phrases"].schema
    assert skipped.schema == CATALOG["skipped_captions"].schema


def test_a_part_without_captions_gives_empty_tables(tmp_path: Path) -> None:
    phrases, skipped = parse_part(pairs_table(tmp_path, []).part_paths[0], PARAMS)
    assert (phrases.num_rows, skipped.num_rows) == (0, 0)


def test_limits_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Params(max_words=0, max_chars=10)
