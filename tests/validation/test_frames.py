from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ram.io.tables import Table, write_table
from ram.pipeline.catalog import CATALOG
from ram.validation.frames import ImageIndex, RowBatch, column_frame, row_batches
from ram.validation.keys import KeyCounter
from ram.validation.totals import PairTotals, TagTotals


def make_images(path, num_train: int = 6, num_test: int = 2) -> Table:
    rows = [
        {
            "image_id": f"s/{i}", "source": "s", "split": "train" if i < num_train else "test", "shard": "a.tar",
            "member": f"{i}.jpg", "offset": 0, "num_bytes": 1, "width": 8, "height": 8, "sha256": "",
            "perceptual_hash": "",
        }
        for i in range(num_train + num_test)
    ]  # fmt: skip
    write_table(rows, path, CATALOG["images"].schema)
    return Table(path, CATALOG["images"].schema)


def make_cleaned(path, rows: list[tuple[str, int, bool]]) -> Table:
    frame = [
        {
            "image_id": image, "tag_id": tag, "origin": "predicted", "score": 0.5, "kept": kept,
            "reason": None if kept else "cluster_outlier", "outlier_score": None, "image_score": 0.5,
            "region_score": 0.5,
            "x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0,
        }
        for image, tag, kept in rows
    ]  # fmt: skip
    filler = {column.name: None if column.nullable else 0.5 for column in CATALOG["cleaned_tags"].schema}
    write_table([filler | row for row in frame], path, CATALOG["cleaned_tags"].schema)
    return Table(path, CATALOG["cleaned_tags"].schema)


@pytest.mark.parametrize("rows_per_batch", [1, 3, 1000])
def test_totals_do_not_depend_on_the_size_of_the_batches(tmp_path, rows_per_batch: int) -> None:
    generator = np.random.default_rng(0)
    rows = [
        (f"s/{generator.integers(8)}", int(generator.integers(4)), bool(generator.random() < 0.7)) for _ in range(60)
    ]
    table, images = make_cleaned(tmp_path / "cleaned_tags", rows), ImageIndex(make_images(tmp_path / "images"))
    totals = TagTotals(images, ["a", "b", "c", "d"], KeyCounter(tmp_path / "keys", 60))
    batches = list(row_batches(table, images, rows_per_batch))
    for batch in batches:
        totals.add(batch)

    train = [(image, tag) for image, tag, kept in rows if kept and int(image[2:]) < 6]
    per_image, per_tag = Counter(i for i, _ in train), Counter(t for _, t in train)
    row = totals.row()
    assert sum(len(batch) for batch in batches) == 60
    assert row["num_repeated_rows"] == 60 - len({(i, t) for i, t, _ in rows})
    assert row["mean_tags"] == pytest.approx(np.mean(list(per_image.values())))
    assert row["max_tags"] == max(per_image.values())
    assert row["share_without_tags"] == pytest.approx(1 - len(per_image) / 6)
    assert row["share_of_one_tag"] == pytest.approx(max(per_tag.values()) / 6)
    assert row["share_removed"] == pytest.approx(sum(not kept for *_, kept in rows) / 60)
    assert totals.frequencies() == {"abcd"[t]: n for t, n in per_tag.items()}


def test_unknown_images_are_marked_and_not_counted(tmp_path) -> None:
    table = make_cleaned(tmp_path / "t", [("s/0", 0, True), ("elsewhere/1", 0, True)])
    images = ImageIndex(make_images(tmp_path / "images"))
    (batch,) = row_batches(table, images, 10)
    assert batch.columns["image_known"].to_pylist() == [True, False]
    assert batch.positions.tolist() == [0, -1]


@pytest.mark.parametrize("dictionary", [False, True])
def test_positions_are_rows_of_the_table_images(tmp_path, dictionary: bool) -> None:
    images = make_images(tmp_path / "images", num_train=300)
    order = np.random.default_rng(0).permutation(302)
    wanted = pa.array([f"s/{i}" for i in order] + [None, "s/302", ""])
    found = ImageIndex(images).positions(wanted.dictionary_encode() if dictionary else wanted)
    assert found.tolist() == [*order.tolist(), -1, -1, -1]


def test_an_image_that_is_listed_twice_is_an_error(tmp_path) -> None:
    make_images(tmp_path / "images", num_train=3)
    (tmp_path / "images" / "part-00001.parquet").write_bytes((tmp_path / "images" / "part-00000.parquet").read_bytes())
    with pytest.raises(ValueError, match="have one image_id"):
        ImageIndex(Table(tmp_path / "images", CATALOG["images"].schema))


def test_pair_totals_count_repeats_and_boilerplate(tmp_path) -> None:
    images = ImageIndex(make_images(tmp_path / "images"))
    keys, captions = (KeyCounter(tmp_path / name, 4) for name in ("keys", "captions"))
    totals = PairTotals(images, keys, captions, num_refused=len(images))
    columns = {
        "image_id": pa.array(["s/0", "s/0", "s/1", "s/1"]),
        "caption_index": pa.array([0, 1, 0, 0], pa.int16()),
        "caption": pa.array(list("aabc")),
    }
    totals.add(RowBatch(columns=columns, positions=images.positions(columns["image_id"])))
    assert totals.row() == {
        "num_rows": 4,
        "num_repeated_rows": 1,
        "max_captions": 2,
        "share_of_one_caption": 0.5,
        "share_refused": 0.5,
    }


def test_a_part_with_other_columns_is_found(tmp_path) -> None:
    table = make_cleaned(tmp_path / "t", [("s/0", 0, True)])
    pq.write_table(pa.table({"image_id": ["s/0"], "tag_id": [1]}), tmp_path / "t" / "part-00001.parquet")
    frame = column_frame(Table(table.path, table.schema))
    wrong = frame[frame["expected_type"] != frame["observed_type"]]
    assert set(wrong["part"]) == {"part-00001.parquet"}
    assert dict(zip(wrong["column"], wrong["observed_type"], strict=True))["tag_id"] == "int64"
    assert dict(zip(wrong["column"], wrong["observed_type"], strict=True))["kept"] == "missing"
