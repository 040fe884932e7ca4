from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from detectors import detector_params, modes

from ram.data_engine.detectors.points import Points, points_of, ranks

PARAMS = detector_params().points


def points(features: np.ndarray, **changed: object) -> Points:
    found = points_of(features, dataclasses.replace(PARAMS, **changed), seed=0)
    assert found is not None
    return found


def test_all_dimensions_keep_the_angles_between_regions() -> None:
    features = modes(50, 3)
    found = points(features, pca_dims=None)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(
        found.point_MP[found.inverse_N] @ found.point_MP[found.inverse_N].T, unit @ unit.T, atol=1e-4
    )


def test_the_euclidean_metric_keeps_lengths_apart_that_the_cosine_does_not_see() -> None:
    features = np.concatenate([modes(30, 3), 2 * modes(30, 3)])
    assert len(points(features, metric="cosine").point_MP) == 30
    assert len(points(features, metric="euclidean").point_MP) == 60


@pytest.mark.parametrize(("num_regions", "width"), [(200, 12), (40, 120), (120, 120)])
def test_principal_directions_are_those_of_scikit_learn(num_regions: int, width: int) -> None:
    from sklearn.decomposition import PCA

    generator = np.random.default_rng(0)
    features = generator.normal(size=(num_regions, width)) * np.geomspace(3, 0.1, width)
    all_ND = points(features, pca_dims=None).point_MP
    found_NP = points(features, pca_dims=5).point_MP
    reference_NP = PCA(5).fit_transform(all_ND)
    np.testing.assert_allclose(np.abs(found_NP), np.abs(reference_NP), atol=1e-8)


def test_no_directions_are_made_up_where_regions_have_fewer() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(30, 4)) @ generator.normal(size=(4, 200))
    found = points(features, metric="euclidean", pca_dims=64)
    every = points(features, metric="euclidean", pca_dims=None)
    distance_NN = np.linalg.norm(found.point_MP[:, None] - found.point_MP[None], axis=2)
    np.testing.assert_allclose(
        distance_NN, np.linalg.norm(every.point_MP[:, None] - every.point_MP[None], axis=2), atol=1e-5
    )


def test_a_region_that_comes_twice_is_one_point() -> None:
    features = modes(40, 3)
    found = points(np.concatenate([features, features[::-1]]))
    assert len(found.point_MP) == 40
    np.testing.assert_array_equal(found.inverse_N[:40], found.inverse_N[40:][::-1])


@pytest.mark.parametrize("num_different", [1, 19])
def test_too_few_different_regions_are_no_points(num_different: int) -> None:
    assert points_of(np.repeat(modes(num_different, 1), 3, axis=0), PARAMS, seed=0) is None


def test_the_sample_and_the_others_are_all_points() -> None:
    found = points(modes(90, 3), max_regions=30)
    assert len(found.sample) == 30
    np.testing.assert_array_equal(np.sort(np.concatenate([found.sample, found.others])), np.arange(90))


def test_features_are_not_changed() -> None:
    features = modes(50, 3)
    before = features.copy()
    points(features)
    np.testing.assert_array_equal(features, before)


def test_ranks_are_even_and_equal_values_share_theirs() -> None:
    np.testing.assert_allclose(ranks(np.array([3.0, 1.0, 3.0, 9.0])), [0.5, 0.125, 0.5, 0.875])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"metric": "dot"}, "metric must be one of cosine, euclidean, got 'dot'"),
        ({"pca_dims": 0}, "pca_dims must be 1 or more, or null"),
        ({"min_regions": 10, "max_regions": 9}, "at most max_regions 9, got 10"),
    ],
)
def test_impossible_params_are_refused(parameters: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PARAMS, **parameters)
