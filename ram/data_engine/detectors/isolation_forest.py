"""Isolation forest (Liu et al. 2008): regions that few random cuts set apart from all others are outlying."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ram.data_engine.detectors.points import Points


@dataclass(frozen=True, kw_only=True, slots=True)
class IsolationForestParams:
    num_trees: int
    regions_per_tree: int  # drawn from the tag's for each tree

    def __post_init__(self) -> None:
        if self.num_trees < 1 or self.regions_per_tree < 2:
            raise ValueError(
                "num_trees must be 1 or more and regions_per_tree 2 or more, got "
                f"{self.num_trees}, {self.regions_per_tree}"
            )


def score_points(points: Points, params: IsolationForestParams, seed: int) -> np.ndarray:
    """Per point the anomaly score 2^(-mean depth / expected depth) of the paper: about 0.5 typical, towards 1 outlying."""
    from sklearn.ensemble import IsolationForest

    fitted = points.fitted
    forest = IsolationForest(
        n_estimators=params.num_trees,
        max_samples=min(params.regions_per_tree, len(fitted)),
        random_state=seed,
        n_jobs=1,
    )
    return -forest.fit(fitted).score_samples(points.point_MP)
