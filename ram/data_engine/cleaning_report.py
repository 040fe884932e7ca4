"""What the cleaning removed; and, where the truth is known, how right it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ram.data_engine.ground_truth import UNKNOWN, WRONG, Truth
from ram.io.tables import Table
from ram.labels import LabelSystem


def cleaning_report(cleaned: Table, label_system: LabelSystem, truth: Truth) -> dict[str, Any]:
    """Counts by origin and kind, and of rows and tags that no detector judged, for too few regions; `truth` is None where
    no benchmark covers the training images.

    There, among the rows that the labels can judge: how many are wrong, which share of the removed rows was wrong
    (`removal_precision`), which share of the wrong rows was removed (`removal_recall`), and the share of right rows in
    the tag set before and after. A share of nothing is null.
    """
    kinds = np.array([tag.kind for tag in label_system.tags], dtype=object)
    by_origin: dict[str, Counter[str]] = {}
    by_kind: dict[str, Counter[str]] = {}
    judged: dict[str, Counter[str]] = {}
    scored_K, unscored_K = np.zeros((2, len(kinds)), dtype=np.int64)
    for rows in _batches(cleaned):
        rows["kind"] = kinds[rows["tag_id"].to_numpy()]
        _count(rows, "origin", by_origin)
        _count(rows, "kind", by_kind)
        for count_K, mine in ((scored_K, rows["outlier_score"].notna()), (unscored_K, rows["outlier_score"].isna())):
            count_K += np.bincount(rows.loc[mine, "tag_id"], minlength=len(kinds))
        rows["verdict"] = truth.verdicts(rows["image_id"].tolist(), rows["tag_id"].tolist())
        _judge(rows[rows["verdict"] != UNKNOWN], judged)
    total = sum(by_origin.values(), Counter())
    return {
        "num_rows": total["num_rows"],
        "num_removed": total["num_rows"] - total["num_kept"],
        "num_rows_not_judged": int(unscored_K.sum()),
        "num_tags_not_judged": int(((unscored_K > 0) & (scored_K == 0)).sum()),
        "by_origin": {origin: dict(counts) for origin, counts in by_origin.items()},
        "by_kind": {kind: dict(counts) for kind, counts in by_kind.items()},
        "truth": _shares(judged) if judged else None,
    }


def _batches(cleaned: Table) -> Iterator[pd.DataFrame]:
    for batch in cleaned.batches(["image_id", "tag_id", "origin", "kept", "reason", "outlier_score"]):
        rows = batch.to_pandas()
        rows["origin"] = rows["origin"].astype(str)
        yield rows


def _count(rows: pd.DataFrame, column: str, counts: dict[str, Counter[str]]) -> None:
    for value, group in rows.groupby(column):
        counter = counts.setdefault(str(value), Counter())
        counter.update({"num_rows": len(group), "num_kept": int(group["kept"].sum())})
        counter.update({f"num_{reason}": n for reason, n in group["reason"].value_counts().items()})


def _judge(rows: pd.DataFrame, judged: dict[str, Counter[str]]) -> None:
    for origin, group in [("all", rows), *rows.groupby("origin")]:
        wrong, removed = group["verdict"] == WRONG, ~group["kept"]
        if len(group):
            judged.setdefault(str(origin), Counter()).update(
                {
                    "num_rows": len(group),
                    "num_wrong": int(wrong.sum()),
                    "num_removed": int(removed.sum()),
                    "num_wrong_removed": int((wrong & removed).sum()),
                }
            )


def _shares(judged: dict[str, Counter[str]]) -> dict[str, Any]:
    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    shares = {}
    for origin, c in judged.items():
        num_kept = c["num_rows"] - c["num_removed"]
        shares[origin] = {
            **c,
            "removal_precision": share(c["num_wrong_removed"], c["num_removed"]),
            "removal_recall": share(c["num_wrong_removed"], c["num_wrong"]),
            "precision_before": share(c["num_rows"] - c["num_wrong"], c["num_rows"]),
            "precision_after": share(num_kept - c["num_wrong"] + c["num_wrong_removed"], num_kept),
        }
    return shares
