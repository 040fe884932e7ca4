from __future__ import annotations

import numpy as np
import pytest
from detectors import detector_params, modes
from scipy.stats import spearmanr

from ram.data_engine.detectors.kmeans import KMeansParams, score_points
from ram.data_engine.detectors.points import points_of


def test_scores_order_as_the_distance_to_the_own_center_in_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    points = points_of(modes(300, 3), detector_params().points, seed=0)
    assert points is not None
    reference = KMeans(3, n_init=5, random_state=7).fit(points.point_MP).transform(points.point_MP).min(1)
    found = score_points(points, KMeansParams(num_clusters=3), seed=1)
    assert spearmanr(found, reference).statistic == pytest.approx(1)


def test_a_small_tag_has_fewer_clusters_than_wished_so_that_no_outlier_is_its_own_center() -> None:
    features = np.concatenate([modes(19, 1), modes(1, 1, seed=1)])
    points = points_of(features, detector_params().points, seed=0)
    assert points is not None
    # 100 clusters of 20 regions would put all of them at distance 0.
    found = score_points(points, KMeansParams(num_clusters=100), seed=0)
    assert len(np.unique(found)) > 15


def test_no_cluster_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="num_clusters must be 1 or more, got 0"):
        KMeansParams(num_clusters=0)
