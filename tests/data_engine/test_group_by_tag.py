from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ram.data_engine.group_by_tag import buckets_of_tags, gather_by_tag
from ram.io.tables import Table, as_arrow, write_part
from ram.pipeline.catalog import artifact


def tables(tmp_path: Path, num_rows: int, num_tags: int, num_parts: int = 3) -> tuple[Table, Table, pd.DataFrame]:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"image_id": [f"s/{i // 4}" for i in range(num_rows)]})
    rows["tag_id"] = np.minimum(rng.geometric(0.3, num_rows) - 1, num_tags - 1).astype(np.int32)
    rows = rows.assign(score=1.0, model_version="v", found_by="grid")
    rows[["x0", "y0", "x1", "y1"]] = 0.5
    rows["origin"] = np.array(["caption", "predicted"])[rng.integers(2, size=num_rows)]
    rows[["image_score", "region_score", "held_out_evidence"]] = rng.random((num_rows, 3))
    rows["feature"] = list(rng.random((num_rows, 3)).astype(np.float32))
    found = []
    for name in ("generated_tags", "region_features"):
        schema = artifact(name).schema
        assert schema is not None
        for part, mine in enumerate(np.array_split(np.arange(num_rows), num_parts)):
            write_part(as_arrow(rows.iloc[mine], schema), tmp_path / name, part, schema)
        found.append(Table(tmp_path / name, schema))
    return found[0], found[1], rows


def test_small_tags_share_a_bucket_and_a_large_one_has_several() -> None:
    assert buckets_of_tags(np.array([3, 4, 5, 25, 2, 0]), 10) == [(0, 1), (0, 1), (1, 1), (2, 3), (5, 1), (5, 1)]


@pytest.mark.parametrize("max_rows", [20, 70, 1000])
def test_every_row_is_gathered_once_with_the_others_of_its_tag(tmp_path: Path, max_rows: int) -> None:
    tags, regions, rows = tables(tmp_path, 300, 9)
    paths = gather_by_tag(tags, regions, tmp_path / "buckets", max_rows, num_tags=9)
    buckets = [pq.read_table(path).to_pandas() for path in paths]
    assert all(len(bucket) <= max_rows for bucket in buckets)
    gathered = pd.concat(buckets).sort_values("row", ignore_index=True)
    assert gathered["row"].tolist() == list(range(300))
    for column in ("tag_id", "image_score", "region_score", "held_out_evidence"):
        np.testing.assert_allclose(gathered[column], rows[column], rtol=1e-6)
    assert gathered["origin"].tolist() == rows["origin"].tolist()
    np.testing.assert_array_equal(np.stack(gathered["feature"]), np.stack(rows["feature"]))
    for tag, count in rows["tag_id"].value_counts().items():
        holding = [(bucket["tag_id"] == tag).sum() for bucket in buckets if (bucket["tag_id"] == tag).any()]
        assert len(holding) == -(-count // max_rows)
        assert max(holding) - min(holding) <= 1


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    tags, regions, rows = tables(tmp_path, 40, 3)
    rows["tag_id"] = rows["tag_id"].to_numpy()[::-1]
    for part, mine in enumerate(np.array_split(np.arange(40), 3)):
        write_part(as_arrow(rows.iloc[mine], regions.schema), tmp_path / "region_features", part, regions.schema)
    with pytest.raises(ValueError, match="have different rows; run embed_regions again"):
        gather_by_tag(tags, regions, tmp_path / "buckets", 100, num_tags=3)
