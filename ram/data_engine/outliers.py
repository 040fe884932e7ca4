"""How far does each region of a tag lie from the others? HDBSCAN with its outlier score GLOSH, and what guards it.

Regions that belong to no cluster are not wrong for that: a tag with one visual mode has no clusters at all, and all its
regions are "noise". So the score ranks, the label does not remove; and wrong regions that look alike, which form a
cluster of their own, are found by their distance to the largest one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

# N regions of one tag, D feature width, P dimensions after PCA


@dataclass(frozen=True, kw_only=True, slots=True)
class OutlierParams:
    min_regions: int  # a tag with fewer different regions is not clustered
    max_regions: int  # more: clusters are found on a sample of this size, the others placed among them
    pca_dims: int
    min_cluster_share: float  # of the tag's regions
    min_cluster_size: int  # and at least this many
    min_samples: int
    selection: str  # of clusters: eom (few, large) or leaf (many, small)
    max_noise_share: float  # more regions outside all clusters: distances to neighbours are used instead
    small_cluster_share: float  # clusters under this share that lie far from the largest are outlying as a whole

    def __post_init__(self) -> None:
        if self.selection not in ("eom", "leaf"):
            raise ValueError(f"selection must be eom or leaf, got {self.selection!r}")
        if self.min_cluster_size < 2 or self.min_samples < 1 or self.pca_dims < 1:
            raise ValueError(
                "min_cluster_size must be 2 or more, min_samples and pca_dims 1 or more, got "
                f"{self.min_cluster_size}, {self.min_samples}, {self.pca_dims}"
            )
        if self.min_regions < self.min_samples + 2 or self.max_regions < self.min_regions:
            raise ValueError(
                f"min_regions must be at least min_samples + 2 = {self.min_samples + 2} and at most max_regions "
                f"{self.max_regions}, got {self.min_regions}"
            )
        for knob in ("min_cluster_share", "max_noise_share", "small_cluster_share"):
            if not 0 <= getattr(self, knob) <= 1:
                raise ValueError(f"{knob} must be in [0, 1], got {getattr(self, knob)}")


def outlier_scores(feature_ND: np.ndarray, params: OutlierParams, seed: int) -> np.ndarray:
    """Float32 per region: 0 typical … 1 outlying; all NaN where there are too few different regions to tell."""
    points_ND = _normalised(feature_ND)
    points_ND, inverse = np.unique(points_ND, axis=0, return_inverse=True)
    if len(points_ND) < params.min_regions:
        return np.full(len(feature_ND), np.nan, dtype=np.float32)
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(points_ND))[: params.max_regions])
    points_NP = _principal(points_ND, sample, params.pca_dims)
    score_N = _clustered(points_NP, sample, params)
    if score_N is None:
        score_N = _by_neighbours(points_NP, points_NP[sample], params.min_samples)
    return np.clip(score_N, 0, 1).astype(np.float32)[inverse.ravel()]


def _normalised(feature_ND: np.ndarray) -> np.ndarray:
    feature_ND = feature_ND.astype(np.float64)
    unit_ND = feature_ND / np.maximum(np.linalg.norm(feature_ND, axis=1, keepdims=True), 1e-12)
    return np.round(unit_ND, 6)  # the same picture twice may differ in the last bits


def _principal(points_ND: np.ndarray, sample: np.ndarray, num_dims: int) -> np.ndarray:
    """The points in the leading principal directions of the sample: in hundreds of dimensions clustering is slow."""
    centred_ND = points_ND - points_ND[sample].mean(0)
    _, vectors_DD = np.linalg.eigh(np.cov(centred_ND[sample], rowvar=False).reshape(centred_ND.shape[1], -1))
    return np.ascontiguousarray(centred_ND @ vectors_DD[:, ::-1][:, :num_dims])


def _clustered(points_NP: np.ndarray, sample: np.ndarray, params: OutlierParams) -> np.ndarray | None:
    """GLOSH of all points from the clusters of the sample; None where it has no clusters worth the name."""
    import hdbscan

    fitted = points_NP[sample]
    all_fitted = len(fitted) == len(points_NP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn announces changes of names
        clusterer = hdbscan.HDBSCAN(
            min_cluster_size=max(params.min_cluster_size, int(params.min_cluster_share * len(fitted))),
            min_samples=params.min_samples,
            cluster_selection_method=params.selection,
            prediction_data=not all_fitted,
            core_dist_n_jobs=1,
        ).fit(fitted)
        labels = clusterer.labels_
        if labels.max() < 0 or (labels < 0).mean() > params.max_noise_share:
            return None
        score_N = np.empty(len(points_NP))
        # Not a number comes from blocks of zero distance: as dense as points can be.
        score_N[sample] = np.nan_to_num(clusterer.outlier_scores_, nan=0.0)
        others = np.setdiff1d(np.arange(len(points_NP)), sample)
        if len(others):
            score_N[others] = np.nan_to_num(hdbscan.approximate_predict_scores(clusterer, points_NP[others]), nan=0.0)
    return _raise_small_clusters(score_N, points_NP, sample, labels, params.small_cluster_share)


def _raise_small_clusters(
    score_N: np.ndarray, points_NP: np.ndarray, sample: np.ndarray, labels: np.ndarray, small_share: float
) -> np.ndarray:
    """Small clusters further from the largest than nearly all of its own points are one error made many times."""
    sizes = np.bincount(labels[labels >= 0])
    fitted = points_NP[sample]
    main = labels == sizes.argmax()
    centre_P = fitted[main].mean(0)
    distance = np.linalg.norm(fitted - centre_P, axis=1)
    reach = np.quantile(distance[main], 0.99)
    raised_N = score_N.copy()
    for cluster in np.flatnonzero(sizes < small_share * len(labels)):
        mine = labels == cluster
        typical = np.median(distance[mine])
        if typical > reach:
            raised_N[sample[mine]] = np.maximum(raised_N[sample[mine]], 1 - reach / typical)
    return raised_N


def _by_neighbours(points_NP: np.ndarray, reference_MP: np.ndarray, num_neighbours: int) -> np.ndarray:
    """1 - median / distance to the `num_neighbours`-th neighbour: half of the points have 0, none reaches 1."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=min(num_neighbours + 1, len(reference_MP)), n_jobs=1).fit(reference_MP)
    distance_N = neighbours.kneighbors(points_NP)[0][:, -1]
    return np.maximum(1 - np.median(distance_N) / np.maximum(distance_N, 1e-12), 0)
