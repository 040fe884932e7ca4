"""The regions of one tag as points: each different one once, and few enough dimensions to look for neighbors in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# N regions of one tag, M different ones, D feature width, P dimensions after PCA

METRICS = ("cosine", "euclidean")
_ROWS_AT_ONCE = 4096
_LEAST_VARIANCE = 1e-12  # of the first direction's: below it there is rounding alone


@dataclass(frozen=True, kw_only=True, slots=True)
class PointParams:
    metric: str  # cosine: features are brought to length 1, so that distances order as angles; euclidean: as they are
    pca_dims: int | None  # null: all dimensions
    min_regions: int  # a tag with fewer different regions is not judged
    max_regions: int  # more: detectors are fitted on a sample of this size, the others placed by what was found

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}")
        if self.pca_dims is not None and self.pca_dims < 1:
            raise ValueError(f"pca_dims must be 1 or more, or null for all dimensions, got {self.pca_dims}")
        if not 2 <= self.min_regions <= self.max_regions:
            raise ValueError(
                f"min_regions must be 2 or more and at most max_regions {self.max_regions}, got {self.min_regions}"
            )


@dataclass(frozen=True, slots=True)
class Points:
    """`point_MP[inverse_N]` are the points of all regions; detectors are fitted on `point_MP[sample]`, ascending."""

    point_MP: np.ndarray
    sample: np.ndarray
    inverse_N: np.ndarray

    @property
    def fitted(self) -> np.ndarray:
        return self.point_MP[self.sample]

    @property
    def others(self) -> np.ndarray:
        """The positions of the points outside the sample."""
        outside_M = np.ones(len(self.point_MP), dtype=bool)
        outside_M[self.sample] = False
        return np.flatnonzero(outside_M)


def points_of(feature_ND: np.ndarray, params: PointParams, seed: int) -> Points | None:
    """None where there are too few different regions to tell what is typical."""
    point_MD, inverse_N = np.unique(_scaled(feature_ND, params.metric), axis=0, return_inverse=True)
    if len(point_MD) < params.min_regions:
        return None
    sample = np.sort(np.random.default_rng(seed).permutation(len(point_MD))[: params.max_regions])
    if params.pca_dims is not None:
        return Points(_principal(point_MD, sample, params.pca_dims), sample, inverse_N.ravel())
    return Points(point_MD.astype(np.float64), sample, inverse_N.ravel())


def _scaled(feature_ND: np.ndarray, metric: str) -> np.ndarray:
    """Float32, computed in float64 some rows at a time: of 50,000 regions of 1,280 numbers all in float64 have 512 MB."""
    length_N = np.empty(len(feature_ND))
    for rows in _some(feature_ND):
        length_N[rows] = np.linalg.norm(feature_ND[rows].astype(np.float64), axis=1)
    if metric == "euclidean":
        length_N[:] = length_N.mean()
    scaled_ND = np.empty(feature_ND.shape, np.float32)
    for rows in _some(feature_ND):
        scaled = feature_ND[rows].astype(np.float64) / np.maximum(length_N[rows, None], 1e-12)
        scaled_ND[rows] = np.round(scaled, 6)  # the same image twice may differ in the last bits
    return scaled_ND


def _principal(point_MD: np.ndarray, sample: np.ndarray, num_dims: int) -> np.ndarray:
    """The points in the leading principal directions of the sample: in hundreds of dimensions clustering is slow."""
    fitted = point_MD[sample].astype(np.float64)
    mean_D = fitted.mean(0)
    fitted -= mean_D
    if len(fitted) < fitted.shape[1]:  # the matrix of products has the same directions, and is the smaller one
        variance_N, weight_NN = np.linalg.eigh(fitted @ fitted.T)
        real = variance_N > variance_N[-1] * _LEAST_VARIANCE
        vector_DP = fitted.T @ (weight_NN[:, real] / np.sqrt(variance_N[real]))
    else:
        _, vector_DP = np.linalg.eigh(fitted.T @ fitted)
    del fitted
    vector_DP = np.ascontiguousarray(vector_DP[:, ::-1][:, :num_dims])
    return np.concatenate([(point_MD[rows] - mean_D) @ vector_DP for rows in _some(point_MD)])


def _some(rows: np.ndarray) -> list[slice]:
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(rows), _ROWS_AT_ONCE)]


def ranks(values: np.ndarray) -> np.ndarray:
    """Float32 in (0, 1), the highest value highest; equal values share their mean rank."""
    return ((pd.Series(values).rank().to_numpy() - 0.5) / len(values)).astype(np.float32)
