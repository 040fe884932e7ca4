from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ram.io.tables import Table, as_arrow, write_part
from ram.pipeline.catalog import artifact
from ram.reports.review import clusters as looks
from ram.reports.review.clusters import NONE, find_looks


@pytest.fixture
def regions(tmp_path: Path) -> Table:
    """Two images in three of tag 0 look one way, the others another way; tag 1 stands in between."""
    rng = np.random.default_rng(0)
    looks_2D = rng.normal(size=(2, 16))
    schema = artifact("region_features").schema
    assert schema is not None
    for part in range(3):
        rows = [
            {"image_id": f"i{i}", "tag_id": tag, "feature": looks_2D[int(i % 3 == 0)] + 0.05 * rng.normal(size=16)}
            for i in range(part * 10, part * 10 + 10)
            for tag in (0, 1)
        ]
        frame = pd.DataFrame(rows).assign(region_score=0.5, held_out_evidence=0.0, found_by="attention")
        frame[["x0", "y0", "x1", "y1"]] = (0.0, 0.0, 1.0, 1.0)
        write_part(as_arrow(frame, schema), tmp_path, part, schema)
    return Table(tmp_path, schema)


def rows_of(num: int) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [f"i{i}" for i in range(num)], "tag_id": 0})


def test_regions_that_look_alike_are_one_look_and_the_largest_is_the_first(regions: Table) -> None:
    found = find_looks(rows_of(30), regions, num_looks=2, seed=0)
    assert found.tolist() == [int(i % 3 == 0) for i in range(30)]


def test_a_row_that_the_engine_did_not_look_at_has_no_look(regions: Table) -> None:
    assert find_looks(rows_of(31), regions, num_looks=2, seed=0)[30] == NONE


def test_few_rows_are_one_look(regions: Table) -> None:
    assert find_looks(rows_of(7), regions, num_looks=4, seed=0).tolist() == [0] * 7


def test_without_looks_no_feature_is_read(regions: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "_features", None)
    assert find_looks(rows_of(7), regions, num_looks=1, seed=0).tolist() == [0] * 7
