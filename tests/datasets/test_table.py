from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ram.datasets import Refusal, Sample, make_source

ROWS = pd.DataFrame(
    {"path": ["p/a.jpg", "p/a.jpg", "p/b.jpg", "../c.jpg"], "caption": ["one", "two, with comma", "", "x"]}
)


def read(path: Path, **parameters: Any) -> list[Sample | Refusal]:
    source = make_source({"name": "table", "kind": "table", "path": str(path), **parameters})
    return [item for chunk in source.chunks(source.files()) for item in source.read(chunk)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_of_one_image_are_one_sample_in_csv_and_parquet(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.jpg").write_bytes(b"a")
    (tmp_path / "p/b.jpg").write_bytes(b"b")
    path = tmp_path / f"t.{suffix}"
    ROWS.to_csv(path, index=False) if suffix == "csv" else ROWS.to_parquet(path)
    first, second, third = read(path)
    assert first == Sample(key="p/a.jpg", image=b"a", split="train", captions=("one", "two, with comma"))
    assert second == Sample(key="p/b.jpg", image=b"b", split="train", captions=("",))
    assert isinstance(third, Refusal)


def test_other_columns_and_another_root_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(b"a")
    pd.DataFrame({"file": ["a.jpg"], "text": ["one"]}).to_csv(tmp_path / "t.csv", index=False)
    parameters = {"path_column": "file", "caption_column": "text", "image_root": str(tmp_path / "images")}
    (item,) = read(tmp_path / "t.csv", **parameters)
    assert isinstance(item, Sample)
    assert item.captions == ("one",)
    with pytest.raises(ValueError, match="no column 'path'; it has file, text"):
        read(tmp_path / "t.csv")


def test_a_parquet_file_that_is_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"t\.parquet is no Parquet file"):
        read(tmp_path / "t.parquet")
