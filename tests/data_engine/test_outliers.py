from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ram.data_engine.outliers import OutlierParams, outlier_scores

PARAMS = OutlierParams(
    min_regions=20, max_regions=5000, pca_dims=16, min_cluster_share=0.05, min_cluster_size=5, min_samples=5,
    selection="eom", max_noise_share=0.3, small_cluster_share=0.15,
)  # fmt: skip


def modes(num_regions: int, centres: int, seed: int = 0, width: int = 48) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre_CD = rng.normal(size=(centres, width))
    return centre_CD[np.arange(num_regions) % centres] + 0.25 * rng.normal(size=(num_regions, width))


def share_found(scores: np.ndarray, wrong: np.ndarray) -> float:
    """Of the wrong regions: the share among as many of the most outlying ones."""
    return wrong[np.argsort(-scores, kind="stable")[: wrong.sum()]].mean()


def test_scattered_wrong_regions_are_the_most_outlying_among_several_looks_of_a_tag() -> None:
    right, wrong = modes(300, 3), modes(30, 30, seed=1) * 1.5
    scores = outlier_scores(np.concatenate([right, wrong]), PARAMS, seed=0)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert share_found(scores, np.arange(330) >= 300) > 0.9


def test_a_tag_with_one_look_is_not_all_outliers() -> None:
    right, wrong = modes(200, 1), modes(15, 15, seed=1)
    scores = outlier_scores(np.concatenate([right, wrong]), PARAMS, seed=0)
    assert np.median(scores[:200]) < 0.1
    assert share_found(scores, np.arange(215) >= 200) > 0.9


def test_wrong_regions_that_look_alike_are_outlying_as_a_cluster() -> None:
    # Two looks of the tag are near each other, the error made again and again is far from both.
    centre = modes(1, 1, seed=3)
    right = np.concatenate([modes(150, 1) * 0.3 + centre * 2, modes(150, 1, seed=1) * 0.3 + centre * 2])
    wrong = modes(20, 1, seed=2) - 2 * centre
    scores = outlier_scores(np.concatenate([right, wrong]), PARAMS, seed=0)
    assert share_found(scores, np.arange(320) >= 300) > 0.9


def test_copies_of_one_region_get_one_score_and_never_not_a_number() -> None:
    features = modes(120, 3)
    copies = np.concatenate([features, np.repeat(features[:1], 80, axis=0)])
    scores = outlier_scores(copies, PARAMS, seed=0)
    assert np.isfinite(scores).all()
    assert len(set(scores[120:].tolist())) == 1
    np.testing.assert_array_equal(scores[:120], outlier_scores(features, PARAMS, seed=0))


@pytest.mark.parametrize("num_different", [1, 19])
def test_too_few_different_regions_have_no_score(num_different: int) -> None:
    features = np.repeat(modes(num_different, 1), 3, axis=0)
    assert np.isnan(outlier_scores(features, PARAMS, seed=0)).all()


def test_regions_beyond_the_sample_are_placed_among_its_clusters() -> None:
    right, wrong = modes(600, 3), modes(60, 60, seed=1) * 1.5
    features = np.concatenate([right, wrong])
    scores = outlier_scores(features, dataclasses.replace(PARAMS, max_regions=300), seed=0)
    assert share_found(scores, np.arange(660) >= 600) > 0.85


def test_the_same_seed_gives_the_same_scores() -> None:
    features = modes(400, 4)
    params = dataclasses.replace(PARAMS, max_regions=100)
    np.testing.assert_array_equal(outlier_scores(features, params, seed=1), outlier_scores(features, params, seed=1))


def test_knobs_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_regions must be at least min_samples \+ 2 = 7"):
        dataclasses.replace(PARAMS, min_regions=6)
