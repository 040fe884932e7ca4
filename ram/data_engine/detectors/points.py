"""The regions of one tag as points: each different one once, and few enough dimensions to look for neighbours in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# N regions of one tag, M different ones, D feature width, P dimensions after PCA

METRICS = ("cosine", "euclidean")


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
        point_MD = _principal(point_MD, sample, params.pca_dims)
    return Points(point_MD, sample, inverse_N.ravel())


def _scaled(feature_ND: np.ndarray, metric: str) -> np.ndarray:
    """In place wherever it can be: of 50,000 regions of 512 numbers a copy in float64 has 200 MB."""
    scaled_ND = feature_ND.astype(np.float64)
    length_N1 = np.linalg.norm(scaled_ND, axis=1, keepdims=True)
    scaled_ND /= np.maximum(length_N1 if metric == "cosine" else length_N1.mean(), 1e-12)
    return np.round(scaled_ND, 6, out=scaled_ND)  # the same picture twice may differ in the last bits


def _principal(point_MD: np.ndarray, sample: np.ndarray, num_dims: int) -> np.ndarray:
    """The points in the leading principal directions of the sample: in hundreds of dimensions clustering is slow."""
    fitted = point_MD[sample]
    mean_D = fitted.mean(0)
    fitted -= mean_D
    _, vector_DD = np.linalg.eigh(np.cov(fitted, rowvar=False).reshape(fitted.shape[1], -1))
    del fitted
    point_MD -= mean_D
    return np.ascontiguousarray(point_MD @ vector_DD[:, ::-1][:, :num_dims])


def ranks(values: np.ndarray) -> np.ndarray:
    """Float32 in (0, 1), the highest value highest; equal values share their mean rank."""
    return ((pd.Series(values).rank().to_numpy() - 0.5) / len(values)).astype(np.float32)
