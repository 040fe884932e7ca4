from __future__ import annotations

import numpy as np
import pytest

from ram.data_engine.probe import Batch, ProbeParams, fit

PARAMS = ProbeParams(num_folds=3, ridge=0.1, prior_weight=5.0)


def world(num_images: int, num_tags: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features that hold a direction for each tag of the image, and noise; and the tags."""
    rng = np.random.default_rng(seed)
    tags_BK = rng.random((num_images, num_tags)) < 0.2
    feature_BD = tags_BK @ rng.normal(size=(num_tags, 24)) + rng.normal(size=(num_images, 24))
    return feature_BD.astype(np.float32), tags_BK


def batches(feature_BD: np.ndarray, tags_BK: np.ndarray, folds_B: np.ndarray, size: int = 50) -> list[Batch]:
    found = []
    for start in range(0, len(feature_BD), size):
        rows = slice(start, start + size)
        image_R, tag_R = np.nonzero(tags_BK[rows])
        found.append(Batch(feature_BD[rows], folds_B[rows], image_R, tag_R))
    return found


def test_scores_are_those_of_a_ridge_regression_that_did_not_see_the_image() -> None:
    from sklearn.linear_model import Ridge

    feature_BD, tags_BK = world(160, 4)
    folds_B = np.arange(160) % 3
    probe = fit(batches(feature_BD, tags_BK, folds_B), 4, PARAMS)
    for fold in range(3):
        others, mine = folds_B != fold, folds_B == fold
        mean_D, scale_D = feature_BD[others].mean(0), feature_BD[others].std(0)
        ridge = Ridge(alpha=PARAMS.ridge * others.sum()).fit((feature_BD[others] - mean_D) / scale_D, tags_BK[others])
        expected = ridge.predict((feature_BD[mine] - mean_D) / scale_D) - ridge.intercept_
        np.testing.assert_allclose(probe._ridge(feature_BD[mine], folds_B[mine]), expected, atol=1e-4)


def test_evidence_tells_images_with_a_tag_from_others_and_wrong_tags_from_right_ones() -> None:
    feature_BD, true_BK = world(600, 6)
    rng = np.random.default_rng(1)
    wrong_BK = ~true_BK & (rng.random(true_BK.shape) < 0.02)
    said_BK = true_BK | wrong_BK
    folds_B = rng.integers(3, size=600)
    probe = fit(batches(feature_BD, said_BK, folds_B), 6, PARAMS)
    probe.calibrate(batches(feature_BD, said_BK, folds_B), PARAMS.prior_weight)
    image_R, tag_R = np.nonzero(said_BK)
    evidence_R = probe.evidence(feature_BD, folds_B, image_R, tag_R)
    wrong_R = wrong_BK[image_R, tag_R]
    assert evidence_R[~wrong_R].mean() > 0.5
    assert evidence_R[wrong_R].mean() < -0.5
    by_chance = (evidence_R[wrong_R][:, None] < evidence_R[~wrong_R]).mean()
    assert by_chance > 0.9


def test_a_tag_of_no_image_or_of_few_has_no_evidence_or_little() -> None:
    feature_BD, tags_BK = world(300, 3)
    tags_BK[:, 2] = False
    tags_BK[2:, 1] = False
    tags_BK[:2, 1] = True
    folds_B = np.arange(300) % 3
    probe = fit(batches(feature_BD, tags_BK, folds_B), 3, PARAMS)
    probe.calibrate(batches(feature_BD, tags_BK, folds_B), PARAMS.prior_weight)
    everything = np.arange(300)
    size = [np.abs(probe.evidence(feature_BD, folds_B, everything, np.full(300, tag))).mean() for tag in range(3)]
    assert size[2] == 0
    assert size[0] > 2 * size[1]


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="num_folds must be 2 or more"):
        ProbeParams(num_folds=1, ridge=0.1, prior_weight=5.0)
