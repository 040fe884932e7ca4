"""Which tags a model says instead of which: images where it misses the one and wrongly says the other.

With many labels per image a miss has no one mistake that belongs to it. Counted is how often both happen on one image, beyond
how often they would by chance if the one had nothing to do with the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

# N images, K names

COLUMNS = ("missed", "said", "num_images", "num_expected", "num_positives")


def confusion_counts(said_NK: np.ndarray, positive_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, K) counts of images where the row's name is missed and the column's wrongly said, and those expected by chance."""
    missed_NK = (positive_NK & ~said_NK).astype(np.float32)
    wrong_NK = (~positive_NK & said_NK).astype(np.float32)
    counts_KK = missed_NK.T @ wrong_NK
    expected_KK = np.outer(missed_NK.sum(axis=0), wrong_NK.sum(axis=0)) / max(len(said_NK), 1)
    return counts_KK, expected_KK


def confusions(said_NK: np.ndarray, positive_NK: np.ndarray, names: list[str], num: int) -> pd.DataFrame:
    """At most `num` pairs of names, those that come most often beyond chance first; see `COLUMNS`."""
    counts_KK, expected_KK = confusion_counts(said_NK, positive_NK)
    excess_KK = counts_KK - expected_KK
    order = np.argsort(-excess_KK, axis=None, kind="stable")[:num]
    num_positives = positive_NK.sum(axis=0)
    rows: list[dict[str, Any]] = []
    for missed, said in zip(*np.unravel_index(order, excess_KK.shape), strict=True):
        if excess_KK[missed, said] <= 0:
            break
        rows.append(
            {
                "missed": names[missed],
                "said": names[said],
                "num_images": int(counts_KK[missed, said]),
                "num_expected": round(float(expected_KK[missed, said]), 2),
                "num_positives": int(num_positives[missed]),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def said_at(
    scores_NK: np.ndarray, names: list[str], tag_names: list[str | None], thresholds: dict[str, Any]
) -> np.ndarray:
    """Which names are said, by the thresholds of thresholds.json: the tag's own, the default, or that of new names."""
    own, default, open_set = (thresholds[key] for key in ("tags", "default", "open_set"))
    threshold_K = [
        own.get(name, open_set) if tag is None else own.get(tag, default)
        for name, tag in zip(names, tag_names, strict=True)
    ]
    return scores_NK >= np.array(threshold_K)
