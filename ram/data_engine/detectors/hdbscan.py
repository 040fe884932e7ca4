"""HDBSCAN: how far does each region of a tag lie from where its regions are dense? And what guards the answer.

Regions that belong to no cluster are not wrong for that: a tag with one visual mode has no clusters at all, and all its
regions are "noise". So the score ranks, the label does not remove; and wrong regions that look alike, which form a
cluster of their own, are found by their distance to the largest one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ram.data_engine.detectors.points import Points

# M different regions of one tag, P dimensions

_MAX_DIMS_OF_FAST = 30  # above, it takes approximate neighbors from one more library


@dataclass(frozen=True, kw_only=True, slots=True)
class HdbscanParams:
    library: str  # hdbscan | sklearn | fast_hdbscan
    score: str  # glosh (library hdbscan alone) or probability: 1 - that of belonging to the own cluster
    min_cluster_share: float  # of the tag's regions
    min_cluster_size: int  # and at least this many
    min_samples: int
    selection: str  # of clusters: eom (few, large) or leaf (many, small)
    max_noise_share: float  # more regions outside all clusters: distances to neighbors are used instead
    small_cluster_share: float  # clusters under this share that lie far from the largest are outlying as a whole

    def __post_init__(self) -> None:
        if self.library not in LIBRARIES:
            raise ValueError(f"library must be one of {', '.join(LIBRARIES)}, got {self.library!r}")
        if self.score not in ("glosh", "probability"):
            raise ValueError(f"score must be glosh or probability, got {self.score!r}")
        if self.score == "glosh" and self.library != "hdbscan":
            raise ValueError(f"library {self.library} has no GLOSH; take score probability, or library hdbscan")
        if self.selection not in ("eom", "leaf"):
            raise ValueError(f"selection must be eom or leaf, got {self.selection!r}")
        if self.min_cluster_size < 2 or self.min_samples < 1:
            raise ValueError(
                "min_cluster_size must be 2 or more and min_samples 1 or more, got "
                f"{self.min_cluster_size}, {self.min_samples}"
            )
        for parameter in ("min_cluster_share", "max_noise_share", "small_cluster_share"):
            if not 0 <= getattr(self, parameter) <= 1:
                raise ValueError(f"{parameter} must be in [0, 1], got {getattr(self, parameter)}")


@dataclass(frozen=True, slots=True)
class Clusters:
    """Of the sample: the cluster of each point (-1: none); of all points: 0 typical … 1 outlying."""

    labels: np.ndarray
    score_M: np.ndarray


def score_points(points: Points, params: HdbscanParams, seed: int) -> np.ndarray:
    """Per point: 0 typical … 1 outlying. `seed` is not used: nothing here is drawn."""
    clusters = find_clusters(points, params)
    labels = clusters.labels
    if labels.max() < 0 or (labels < 0).mean() > params.max_noise_share:
        score_M = _by_neighbors(points.point_MP, points.fitted, params.min_samples)
    else:
        score_M = _raise_small_clusters(clusters, points, params.small_cluster_share)
    return np.clip(score_M, 0, 1)


def find_clusters(points: Points, params: HdbscanParams) -> Clusters:
    """What the library says, unguarded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn announces changes of names
        return LIBRARIES[params.library](points, params)


def _own_library(points: Points, params: HdbscanParams) -> Clusters:
    import hdbscan

    fitted, others = points.fitted, points.others
    clusterer = hdbscan.HDBSCAN(
        min_cluster_size=_min_cluster_size(points, params),
        min_samples=params.min_samples,
        cluster_selection_method=params.selection,
        prediction_data=len(others) > 0,
        core_dist_n_jobs=1,
    ).fit(fitted)
    score_M = np.empty(len(points.point_MP))
    if params.score == "probability":
        score_M[points.sample] = 1 - clusterer.probabilities_
    else:
        # Not a number comes from blocks of zero distance: as dense as points can be.
        score_M[points.sample] = np.nan_to_num(clusterer.outlier_scores_, nan=0.0)
    if len(others) and clusterer.labels_.max() < 0:
        score_M[others] = 1.0  # no cluster to belong to; the library would say so with warnings
    elif len(others) and params.score == "probability":
        score_M[others] = 1 - hdbscan.approximate_predict(clusterer, points.point_MP[others])[1]
    elif len(others):
        placed = hdbscan.approximate_predict_scores(clusterer, points.point_MP[others])
        score_M[others] = np.nan_to_num(placed, nan=0.0)
    return Clusters(clusterer.labels_, score_M)


def _sklearn(points: Points, params: HdbscanParams) -> Clusters:
    from sklearn.cluster import HDBSCAN

    clusterer = HDBSCAN(
        min_cluster_size=_min_cluster_size(points, params),
        min_samples=params.min_samples + 1,  # counts the point itself among its neighbors
        cluster_selection_method=params.selection,
        n_jobs=1,
        copy=True,
    ).fit(points.fitted)
    return _with_others_placed(points, clusterer.labels_, clusterer.probabilities_, params.min_samples)


def _fast_hdbscan(points: Points, params: HdbscanParams) -> Clusters:
    try:
        import fast_hdbscan
        import numba
    except ImportError as error:
        raise ValueError(
            "library fast_hdbscan is not installed; pip install fast_hdbscan, or take library hdbscan"
        ) from error

    if points.point_MP.shape[1] > _MAX_DIMS_OF_FAST:
        raise ValueError(
            f"library fast_hdbscan finds exact neighbors in up to {_MAX_DIMS_OF_FAST} dimensions, got "
            f"{points.point_MP.shape[1]}; set points.pca_dims to {_MAX_DIMS_OF_FAST} or fewer, or take another library"
        )
    num_threads = numba.get_num_threads()
    numba.set_num_threads(1)  # the engine runs a process a core
    try:
        clusterer = fast_hdbscan.HDBSCAN(
            min_cluster_size=_min_cluster_size(points, params),
            min_samples=params.min_samples,
            cluster_selection_method=params.selection,
            reproducible=True,
        ).fit(points.fitted)
    finally:
        numba.set_num_threads(num_threads)
    return _with_others_placed(points, clusterer.labels_, clusterer.probabilities_, params.min_samples)


LIBRARIES: dict[str, Callable[[Points, HdbscanParams], Clusters]] = {
    "hdbscan": _own_library,
    "sklearn": _sklearn,
    "fast_hdbscan": _fast_hdbscan,
}


def _min_cluster_size(points: Points, params: HdbscanParams) -> int:
    return max(params.min_cluster_size, int(params.min_cluster_share * len(points.sample)))


def _with_others_placed(points: Points, labels: np.ndarray, probability: np.ndarray, min_samples: int) -> Clusters:
    """Scores of all points where the library can only judge those it was fitted on.

    A point outside the sample joins the cluster of the nearest fitted point by mutual reachability (the larger of the
    distance and both core distances); its probability is, as HDBSCAN defines it, the smallest reach in that cluster over
    its own.
    """
    from sklearn.neighbors import NearestNeighbors

    score_M = np.empty(len(points.point_MP))
    score_M[points.sample] = 1 - probability
    others = points.others
    if len(others):
        fitted = points.fitted
        neighbors = NearestNeighbors(n_neighbors=min(min_samples + 1, len(fitted)), n_jobs=1).fit(fitted)
        core = neighbors.kneighbors(fitted)[0][:, -1]
        distance, nearest = neighbors.kneighbors(points.point_MP[others])
        reach = np.maximum(np.maximum(distance, core[nearest]), distance[:, -1:])
        best = reach.argmin(1)[:, None]
        label = labels[np.take_along_axis(nearest, best, 1)[:, 0]]
        smallest = np.zeros(labels.max() + 2)  # the last one, of label -1, stays 0
        for cluster in range(labels.max() + 1):
            smallest[cluster] = core[labels == cluster].min()
        reach = np.maximum(np.take_along_axis(reach, best, 1)[:, 0], 1e-12)
        score_M[others] = 1 - np.minimum(smallest[label] / reach, 1)
    return Clusters(labels, score_M)


def _raise_small_clusters(clusters: Clusters, points: Points, small_share: float) -> np.ndarray:
    """Small clusters further from the largest than nearly all of its own points are one error made many times."""
    labels, fitted = clusters.labels, points.fitted
    sizes = np.bincount(labels[labels >= 0])
    main = labels == sizes.argmax()
    center_P = fitted[main].mean(0)
    distance = np.linalg.norm(fitted - center_P, axis=1)
    reach = np.quantile(distance[main], 0.99)
    raised_M = clusters.score_M.copy()
    for cluster in np.flatnonzero(sizes < small_share * len(labels)):
        mine = labels == cluster
        typical = np.median(distance[mine])
        if typical > reach:
            raised_M[points.sample[mine]] = np.maximum(raised_M[points.sample[mine]], 1 - reach / typical)
    return raised_M


def _by_neighbors(point_MP: np.ndarray, reference: np.ndarray, num_neighbors: int) -> np.ndarray:
    """1 - median / distance to the `num_neighbors`-th neighbor: half of the points have 0, none reaches 1."""
    from sklearn.neighbors import NearestNeighbors

    neighbors = NearestNeighbors(n_neighbors=min(num_neighbors + 1, len(reference)), n_jobs=1).fit(reference)
    distance_M = neighbors.kneighbors(point_MP)[0][:, -1]
    return np.maximum(1 - np.median(distance_M) / np.maximum(distance_M, 1e-12), 0)
