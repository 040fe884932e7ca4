from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from detectors import detector_params, modes, share_found

from ram.data_engine.detectors.hdbscan import LIBRARIES, find_clusters, score_points
from ram.data_engine.detectors.points import points_of

PARAMS = detector_params()


def scores(features: np.ndarray, seed: int = 0, points: dict | None = None, **changed: object) -> np.ndarray:
    found = points_of(features, dataclasses.replace(PARAMS.points, **(points or {})), seed)
    assert found is not None
    return score_points(found, dataclasses.replace(PARAMS.hdbscan, **changed), seed)[found.inverse_N]


GLOSH = {"score": "glosh"}
PROBABILITIES = [{"score": "probability", "library": library} for library in LIBRARIES]


@pytest.mark.parametrize("how", [GLOSH, *PROBABILITIES], ids=str)
def test_scattered_wrong_regions_are_the_most_outlying_among_several_looks_of_a_tag(how: dict[str, str]) -> None:
    right, wrong = modes(300, 3), modes(30, 30, seed=1) * 1.5
    found = scores(np.concatenate([right, wrong]), **how)
    assert ((found >= 0) & (found <= 1)).all()
    assert share_found(found, np.arange(330) >= 300) > 0.9


def test_a_tag_with_one_look_is_not_all_outliers() -> None:
    right, wrong = modes(200, 1), modes(15, 15, seed=1)
    found = scores(np.concatenate([right, wrong]))
    assert np.median(found[:200]) < 0.1
    assert share_found(found, np.arange(215) >= 200) > 0.9


@pytest.mark.parametrize("how", [GLOSH, *PROBABILITIES], ids=str)
def test_wrong_regions_that_look_alike_are_outlying_as_a_cluster(how: dict[str, str]) -> None:
    # Two looks of the tag are near each other, the error made again and again is far from both.
    center = modes(1, 1, seed=3)
    right = np.concatenate([modes(150, 1) * 0.3 + center * 2, modes(150, 1, seed=1) * 0.3 + center * 2])
    wrong = modes(20, 1, seed=2) - 2 * center
    found = scores(np.concatenate([right, wrong]), **how)
    if how["score"] == "glosh":
        assert share_found(found, np.arange(320) >= 300) > 0.9
    else:  # every region of no cluster has score 1
        assert np.median(found[300:]) > np.median(found[:300])


@pytest.mark.parametrize("how", [GLOSH, *PROBABILITIES], ids=str)
def test_regions_beyond_the_sample_are_placed_among_its_clusters(how: dict[str, str]) -> None:
    right, wrong = modes(600, 3), modes(60, 60, seed=1) * 1.5
    features = np.concatenate([right, wrong])
    found = scores(features, points={"max_regions": 300}, **how)
    assert ((found >= 0) & (found <= 1)).all()
    assert share_found(found, np.arange(660) >= 600) > 0.85


@pytest.mark.parametrize("how", [GLOSH, *PROBABILITIES], ids=str)
def test_the_same_seed_gives_the_same_scores(how: dict[str, str]) -> None:
    first, second = (scores(modes(400, 4), seed=1, points={"max_regions": 100}, **how) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("library", LIBRARIES)
def test_probability_is_that_of_the_reference_of_scikit_learn(library: str) -> None:
    from sklearn.cluster import HDBSCAN

    features = np.concatenate([modes(300, 3), modes(30, 30, seed=1)])
    points = points_of(features, PARAMS.points, seed=0)
    assert points is not None
    params = dataclasses.replace(PARAMS.hdbscan, library=library, score="probability")
    clusters = find_clusters(points, params)
    size = max(params.min_cluster_size, int(params.min_cluster_share * 330))
    reference = HDBSCAN(min_cluster_size=size, min_samples=params.min_samples + 1, algorithm="brute", copy=True)
    reference.fit(points.point_MP)
    np.testing.assert_array_equal(clusters.labels < 0, reference.labels_ < 0)
    # The numbers of the clusters may differ, what is together may not.
    together = clusters.labels[:, None] == clusters.labels
    np.testing.assert_array_equal(together, reference.labels_[:, None] == reference.labels_)
    np.testing.assert_allclose(clusters.score_M, 1 - reference.probabilities_, atol=1e-5)


def test_glosh_needs_the_library_that_has_it() -> None:
    with pytest.raises(ValueError, match="library sklearn has no GLOSH; take score probability"):
        dataclasses.replace(PARAMS.hdbscan, library="sklearn")


def test_an_unknown_library_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="library must be one of hdbscan, sklearn, fast_hdbscan, got 'cuml'"):
        dataclasses.replace(PARAMS.hdbscan, library="cuml")


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fast_hdbscan", None)
    with pytest.raises(ValueError, match="library fast_hdbscan is not installed; pip install fast_hdbscan"):
        scores(modes(60, 2), score="probability", library="fast_hdbscan")


def test_more_dimensions_than_the_fast_library_is_exact_in_are_refused() -> None:
    with pytest.raises(ValueError, match=r"up to 30 dimensions, got 40; set points.pca_dims to 30 or fewer"):
        scores(modes(60, 2), points={"pca_dims": 40}, score="probability", library="fast_hdbscan")
