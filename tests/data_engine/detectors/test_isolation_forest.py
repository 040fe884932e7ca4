from __future__ import annotations

import numpy as np
import pytest
from detectors import detector_params, modes

from ram.data_engine.detectors.isolation_forest import IsolationForestParams, score_points
from ram.data_engine.detectors.points import points_of


def test_scores_are_those_of_scikit_learn_towards_one_for_the_outlying() -> None:
    from sklearn.ensemble import IsolationForest

    points = points_of(modes(300, 3), detector_params().points, seed=0)
    assert points is not None
    found = score_points(points, IsolationForestParams(num_trees=50, regions_per_tree=64), seed=3)
    reference = IsolationForest(n_estimators=50, max_samples=64, random_state=3).fit(points.point_MP)
    np.testing.assert_allclose(found, 0.5 - reference.decision_function(points.point_MP))
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize(
    "parameters", [{"num_trees": 0, "regions_per_tree": 2}, {"num_trees": 1, "regions_per_tree": 1}]
)
def test_a_forest_without_trees_or_cuts_is_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="num_trees must be 1 or more and regions_per_tree 2 or more"):
        IsolationForestParams(**parameters)
