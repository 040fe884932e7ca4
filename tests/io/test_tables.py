from __future__ import annotations

import errno
import math
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.io import tables as storage
from ram.io.tables import (
    Table,
    TableWriter,
    content_hash,
    move_into_place,
    new_array,
    remove_temporaries,
    temporary_path,
    write_json,
    write_table,
    write_text,
)

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("value", pa.float32()),
    ]
)
ROWS = [{"key": f"k{i}", "kind": "ab"[i % 2], "value": None if i % 3 else float(i)} for i in range(10)]


def test_a_table_reads_back_what_was_written_part_by_part_and_whole(tmp_path: Path) -> None:
    with TableWriter(tmp_path, SCHEMA, rows_per_part=4) as writer:
        for row in ROWS:
            writer.write([row])
    table = Table(tmp_path, SCHEMA)
    assert len(table.part_paths) == 3
    assert table.num_rows == 10
    assert table.read().to_pylist() == ROWS
    assert [r for b in table.batches(["key"], batch_size=3) for r in b.to_pylist()] == [{"key": r["key"]} for r in ROWS]
    assert table.to_pandas(["kind"])["kind"].tolist() == [r["kind"] for r in ROWS]


def test_parts_of_different_dictionaries_are_read_as_one_column(tmp_path: Path) -> None:
    for index, kind in enumerate(["x", "y"]):
        storage.write_part(
            pa.Table.from_pylist([{"key": "a", "kind": kind, "value": 1.0}], schema=SCHEMA), tmp_path, index, SCHEMA
        )
    assert Table(tmp_path, SCHEMA).to_pandas()["kind"].tolist() == ["x", "y"]


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    write_table([], tmp_path, SCHEMA)
    frame = Table(tmp_path, SCHEMA).to_pandas()
    assert list(frame.columns) == SCHEMA.names
    assert frame.empty


def test_a_missing_column_or_a_null_where_none_may_be_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks the columns"):
        write_table(pd.DataFrame({"key": ["a"]}), tmp_path, SCHEMA)
    with pytest.raises(ValueError, match="column key has 1 nulls"):
        write_table([{"key": None, "kind": "a", "value": 1.0}], tmp_path, SCHEMA)
    with pytest.raises(ValueError, match="run the stage"):
        Table(tmp_path / "none", SCHEMA)


def test_a_part_that_fails_while_written_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_written(table: pa.Table, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", half_written)
    with pytest.raises(OSError, match="disk full"):
        write_table(ROWS, tmp_path, SCHEMA)
    assert Table(tmp_path, SCHEMA).part_paths == []


def test_json_has_no_nan_and_an_old_file_survives_a_refused_write(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json({"b": 1, "a": [1.5]}, path)
    with pytest.raises(ValueError):
        write_json({"b": math.nan}, path)
    assert storage.read_json(path) == {"a": [1.5], "b": 1}


def test_move_into_place_replaces_files_and_folders(tmp_path: Path) -> None:
    for name, text in (("old", "1"), ("new", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(text)
    move_into_place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "file").read_text() == "2"
    (tmp_path / "loose").write_text("3")
    move_into_place(tmp_path / "loose", tmp_path / "deep" / "target")
    assert (tmp_path / "deep" / "target").read_text() == "3"


@given(st.dictionaries(st.sampled_from(["a", "b", "c/d"]), st.binary(max_size=8), min_size=1))
def test_content_hash_sees_names_and_bytes_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folders = [tmp_path_factory.mktemp("hash") for _ in range(2)]
    for folder, order in zip(folders, (list(files), list(reversed(files))), strict=True):
        for name in order:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(files[name])
    assert content_hash(folders[0]) == content_hash(folders[1])
    changed = folders[1] / next(iter(files))
    changed.write_bytes(changed.read_bytes() + b"!")
    assert content_hash(folders[0]) != content_hash(folders[1])


def test_a_new_array_has_its_place_on_disk_before_anything_is_written(tmp_path: Path) -> None:
    array = new_array(tmp_path / "a" / "x.npy", np.float32, (1000, 300), "a test")
    array[-1] = 7
    array.flush()
    assert (tmp_path / "a" / "x.npy").stat().st_blocks * 512 >= array.nbytes
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "x.npy"), array)
    assert new_array(tmp_path / "none.npy", np.int8, (0, 3), "a test").shape == (0, 3)


def test_an_array_that_the_disk_will_not_hold_is_refused_at_once_with_the_numbers_and_the_remedy(
    tmp_path: Path,
) -> None:
    needed = 1 << 60
    with pytest.raises(
        ValueError,
        match=rf"features needs .*\({needed} bytes\) in {re.escape(str(tmp_path))}, and .* are free.*free some",
    ):
        new_array(tmp_path / "x.npy", np.float16, (needed // 2,), "features")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_others_fill_or_a_quota_is_noticed_when_the_place_is_taken(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(ValueError, match=rf"\(400 bytes\).*{os.strerror(code)}"):
        new_array(tmp_path / "x.npy", np.float32, (100,), "features")
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_takes_no_place_beforehand_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    new_array(tmp_path / "x.npy", np.int8, (3,), "a test")[:] = 5
    assert np.load(tmp_path / "x.npy").tolist() == [5, 5, 5]


def test_what_killed_writers_left_is_removed_and_whole_files_stay(tmp_path: Path) -> None:
    write_text("whole", tmp_path / "a" / "x.txt")
    temporary_path(tmp_path / "a" / "x.txt").write_text("ha")
    assert temporary_path(tmp_path / "x") != temporary_path(tmp_path / "x")
    remove_temporaries(tmp_path)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.txt"]
