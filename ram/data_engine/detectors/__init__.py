"""Detectors of wrong regions: each scores the regions of one tag, and several may be asked.

A detector takes what is known of a tag's rows and gives an outlier score in [0, 1] per row, NaN where it cannot judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ram.data_engine.detectors import confident_learning, isolation_forest, kmeans
from ram.data_engine.detectors import hdbscan as density
from ram.data_engine.detectors.hdbscan import HdbscanParams
from ram.data_engine.detectors.isolation_forest import IsolationForestParams
from ram.data_engine.detectors.kmeans import KMeansParams
from ram.data_engine.detectors.points import PointParams, Points, points_of, ranks

# N rows of one tag, D feature width, J detectors that judged

COMBINATIONS = ("mean", "max", "any")


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorParams:
    """Which detectors judge the regions of a tag, how several are combined, and the parameters of each."""

    use: Mapping[str, float]  # the detectors that judge, and their weights in the mean
    combine: str  # of several, their ranks: mean by weight | max | any, where each one's outlying share counts
    points: PointParams
    hdbscan: HdbscanParams
    kmeans: KMeansParams
    isolation_forest: IsolationForestParams

    def __post_init__(self) -> None:
        if unknown := set(self.use) - set(DETECTORS):
            raise ValueError(f"use has the unknown detector {min(unknown)!r}; known: {', '.join(DETECTORS)}")
        if not self.use or min(self.use.values()) <= 0:
            raise ValueError(f"use must name a detector or several, with weights above 0, got {dict(self.use)}")
        if self.combine not in COMBINATIONS:
            raise ValueError(f"combine must be one of {', '.join(COMBINATIONS)}, got {self.combine!r}")
        if self.points.min_regions < self.hdbscan.min_samples + 2:
            raise ValueError(
                f"points.min_regions must be at least hdbscan.min_samples + 2 = {self.hdbscan.min_samples + 2}, "
                f"got {self.points.min_regions}"
            )


class TagRows:
    """What the detectors may look at: the features and the held-out evidence of the rows of one tag."""

    def __init__(
        self, feature_ND: np.ndarray, evidence_N: np.ndarray, trusted_N: np.ndarray, params: PointParams, seed: int
    ) -> None:
        self.feature_ND, self.evidence_N, self.trusted_N, self.seed = feature_ND, evidence_N, trusted_N, seed
        self._params = params
        self._points: Points | None = None
        self._looked = False

    @property
    def points(self) -> Points | None:
        """None where too few regions differ; found once, whoever asks."""
        if not self._looked:
            self._points, self._looked = points_of(self.feature_ND, self._params, self.seed), True
        return self._points


Detector = Callable[[TagRows, DetectorParams], np.ndarray]


def _of_points(score_points: Callable[[Points, Any, int], np.ndarray], section: str) -> Detector:
    """A detector that looks at features alone; `section` names its parameters."""

    def scores(rows: TagRows, params: DetectorParams) -> np.ndarray:
        if rows.points is None:
            return np.full(len(rows.feature_ND), np.nan)
        return score_points(rows.points, getattr(params, section), rows.seed)[rows.points.inverse_N]

    return scores


def _confident_learning(rows: TagRows, params: DetectorParams) -> np.ndarray:
    if len(rows.evidence_N) < params.points.min_regions:
        return np.full(len(rows.evidence_N), np.nan)
    return confident_learning.score_rows(rows.evidence_N, rows.trusted_N)


DETECTORS: dict[str, Detector] = {
    "hdbscan": _of_points(density.score_points, "hdbscan"),
    "kmeans": _of_points(kmeans.score_points, "kmeans"),
    "isolation_forest": _of_points(isolation_forest.score_points, "isolation_forest"),
    "confident_learning": _confident_learning,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of the rows of one tag; where no detector could judge: score NaN, outlier 0.5, detector -1."""

    score_N: np.ndarray  # float32; of one detector its score, of several their ranks combined
    outlier_N: np.ndarray  # float32; its rank within the tag in (0, 1); of combination any, the highest of the ranks
    detector_N: np.ndarray  # int8; the position in DETECTORS of the one that weighed most


def judge(
    feature_ND: np.ndarray, evidence_N: np.ndarray, trusted_N: np.ndarray, params: DetectorParams, seed: int
) -> Judgement:
    """Ask the detectors of `params.use`, and combine. `trusted_N` marks rows that somebody said, not the model."""
    rows = TagRows(feature_ND, evidence_N, trusted_N, params.points, seed)
    found = {name: DETECTORS[name](rows, params).astype(np.float32) for name in DETECTORS if name in params.use}
    found = {name: score_N for name, score_N in found.items() if not np.isnan(score_N).any()}
    positions = np.array([list(DETECTORS).index(name) for name in found], dtype=np.int8)
    if not found:
        size = len(feature_ND)
        return Judgement(np.full(size, np.nan, np.float32), np.full(size, 0.5, np.float32), np.full(size, -1, np.int8))
    if len(found) == 1:
        ((_, score_N),) = found.items()
        return Judgement(score_N, ranks(score_N), np.full(len(score_N), positions[0]))
    rank_JN = np.stack([ranks(score_N) for score_N in found.values()])
    if params.combine == "mean":
        weight_J = np.array([params.use[name] for name in found])
        weighed_JN = rank_JN * (weight_J / weight_J.sum())[:, None]
        score_N = weighed_JN.sum(0).astype(np.float32)
    else:
        weighed_JN = rank_JN
        score_N = rank_JN.max(0)
    outlier_N = score_N if params.combine == "any" else ranks(score_N)
    return Judgement(score_N, outlier_N, positions[weighed_JN.argmax(0)])
