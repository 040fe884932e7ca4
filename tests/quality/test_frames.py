from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ram.catalog import CATALOG
from ram.quality.frames import ImageIndex, PairTotals, TagTotals, column_frame, num_repeated, row_frames
from ram.storage import Table, write_table


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
    totals = TagTotals(images, ["a", "b", "c", "d"])
    batches = list(row_frames(table, images, rows_per_batch))
    for batch, positions in batches:
        totals.add(batch, positions)

    train = [(image, tag) for image, tag, kept in rows if kept and int(image[2:]) < 6]
    per_image, per_tag = Counter(i for i, _ in train), Counter(t for _, t in train)
    row = totals.row()
    assert sum(len(batch) for batch, _ in batches) == 60
    assert row["num_repeated_rows"] == 60 - len({(i, t) for i, t, _ in rows})
    assert row["mean_tags"] == pytest.approx(np.mean(list(per_image.values())))
    assert row["max_tags"] == max(per_image.values())
    assert row["share_without_tags"] == pytest.approx(1 - len(per_image) / 6)
    assert row["share_of_one_tag"] == pytest.approx(max(per_tag.values()) / 6)
    assert row["share_removed"] == pytest.approx(sum(not kept for *_, kept in rows) / 60)
    assert totals.frequencies() == {"abcd"[t]: n for t, n in per_tag.items()}


def test_unknown_pictures_are_marked_and_not_counted(tmp_path) -> None:
    table = make_cleaned(tmp_path / "t", [("s/0", 0, True), ("elsewhere/1", 0, True)])
    images = ImageIndex(make_images(tmp_path / "images"))
    ((batch, positions),) = row_frames(table, images, 10)
    assert batch["image_known"].tolist() == [True, False]
    assert positions.tolist() == [0, -1]


def test_pair_totals_count_repeats_and_boilerplate(tmp_path) -> None:
    images = ImageIndex(make_images(tmp_path / "images"))
    totals = PairTotals(images, num_refused=len(images))
    frame = pd.DataFrame(
        {"image_id": ["s/0", "s/0", "s/1", "s/1"], "caption_index": [0, 1, 0, 0], "caption": list("aabc")}
    )
    totals.add(frame, images.positions(frame["image_id"]))
    assert totals.row() == {
        "num_rows": 4,
        "num_repeated_rows": 1,
        "max_captions": 2,
        "share_of_one_caption": 0.5,
        "share_refused": 0.5,
    }


def test_no_keys_repeat_in_an_empty_table() -> None:
    assert num_repeated([]) == 0


def test_a_part_with_other_columns_is_found(tmp_path) -> None:
    table = make_cleaned(tmp_path / "t", [("s/0", 0, True)])
    pq.write_table(pa.table({"image_id": ["s/0"], "tag_id": [1]}), tmp_path / "t" / "part-00001.parquet")
    frame = column_frame(Table(table.path, table.schema))
    wrong = frame[frame["expected_type"] != frame["observed_type"]]
    assert set(wrong["part"]) == {"part-00001.parquet"}
    assert dict(zip(wrong["column"], wrong["observed_type"], strict=True))["tag_id"] == "int64"
    assert dict(zip(wrong["column"], wrong["observed_type"], strict=True))["kept"] == "missing"
