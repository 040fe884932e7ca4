from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ram.data_engine.cleaning_report import cleaning_report
from ram.data_engine.ground_truth import RIGHT, UNKNOWN, WRONG, Truth
from ram.io.tables import Table, TableWriter
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact

TAGS = LabelSystem([Tag(tag_id=0, name="dog"), Tag(tag_id=1, name="red", kind="attribute")])
# origin, tag, kept, reason, verdict
ROWS: list[tuple[str, int, bool, str | None, int]] = [
    ("caption", 0, True, None, RIGHT),
    ("caption", 0, False, "contrary_prediction", WRONG),
    ("caption", 1, False, "cluster_outlier", RIGHT),
    ("predicted", 1, True, None, WRONG),
    ("predicted", 1, False, "contrary_prediction", WRONG),
    ("predicted", 0, False, "contrary_prediction", UNKNOWN),
]


@pytest.fixture
def cleaned(tmp_path: Path) -> Table:
    schema = artifact("cleaned_tags").schema
    assert schema is not None
    numbers = dict.fromkeys(("score", "image_score", "region_score", "held_out_evidence", "wrong_probability"), 0.5)
    with TableWriter(tmp_path / "cleaned", schema, rows_per_part=2) as writer:
        for number, (origin, tag, kept, reason, _) in enumerate(ROWS):
            row: dict[str, Any] = {
                "image_id": str(number),
                "tag_id": tag,
                "origin": origin,
                "kept": kept,
                "reason": reason,
            }
            writer.write([row | numbers])
    return Table(tmp_path / "cleaned", schema)


def judge(verdicts: Sequence[int]) -> Truth:
    def of(image_ids: Sequence[str], tag_ids: Sequence[int]) -> np.ndarray:
        return np.array([verdicts[int(i)] for i in image_ids])

    return cast(Truth, SimpleNamespace(verdicts=of))


def test_removals_are_counted_by_origin_kind_and_reason(cleaned: Table) -> None:
    report = cleaning_report(cleaned, TAGS, judge([UNKNOWN] * 6))
    assert (report["num_rows"], report["num_removed"]) == (6, 4)
    assert report["by_origin"]["caption"] == {
        "num_rows": 3, "num_kept": 1, "num_cluster_outlier": 1, "num_contrary_prediction": 1,
    }  # fmt: skip
    assert report["by_kind"]["attribute"] == {
        "num_rows": 3, "num_kept": 1, "num_cluster_outlier": 1, "num_contrary_prediction": 1,
    }  # fmt: skip
    assert report["truth"] is None


def test_where_the_truth_is_known_removals_are_judged(cleaned: Table) -> None:
    truth = cleaning_report(cleaned, TAGS, judge([row[-1] for row in ROWS]))["truth"]
    assert truth["all"]["num_rows"] == 5
    assert truth["all"]["removal_precision"] == pytest.approx(2 / 3)
    assert truth["all"]["removal_recall"] == pytest.approx(2 / 3)
    assert truth["all"]["precision_before"] == pytest.approx(2 / 5)
    assert truth["all"]["precision_after"] == pytest.approx(1 / 2)
    assert truth["predicted"]["removal_precision"] == 1
    assert truth["predicted"]["precision_after"] == 0
