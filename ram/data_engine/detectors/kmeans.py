"""K-Means++, the paper's clustering: the further a region lies from the center of its cluster, the more outlying."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ram.data_engine.detectors.points import Points, ranks

# A cluster of one or two regions has its outliers for a center, and hides them.
_MIN_MEAN_SIZE = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class KMeansParams:
    num_clusters: int  # of a tag; fewer where they would have under 5 regions on average

    def __post_init__(self) -> None:
        if self.num_clusters < 1:
            raise ValueError(f"num_clusters must be 1 or more, got {self.num_clusters}")


def score_points(points: Points, params: KMeansParams, seed: int) -> np.ndarray:
    """Per point the rank of its distance to the center, in (0, 1): a distance means nothing across tags."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    fitted = points.fitted
    num_clusters = max(min(params.num_clusters, len(fitted) // _MIN_MEAN_SIZE), 1)
    with threadpool_limits(1):  # threads would add in another order, and the engine runs a process a core
        clusters = KMeans(num_clusters, init="k-means++", n_init=1, random_state=seed).fit(fitted)
        own_M = clusters.predict(points.point_MP)
    distance_M = np.linalg.norm(points.point_MP - clusters.cluster_centers_[own_M], axis=1)
    return ranks(distance_M)
