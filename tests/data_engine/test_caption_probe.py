from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from ram.data_engine.caption_probe import CaptionBatch, CaptionProbe, fit_captions
from ram.data_engine.probe import ProbeParams

PARAMS = ProbeParams(num_folds=3, ridge=0.1, prior_weight=5.0)
WIDTH = 6


def world(num_images: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of images and two captions of each, whose embeddings say what the features hold, with noise."""
    rng = np.random.default_rng(seed)
    shown_BE = rng.normal(size=(num_images, WIDTH))
    feature_BD = shown_BE @ rng.normal(size=(WIDTH, 10)) + rng.normal(size=(num_images, 10))
    image_C = np.repeat(np.arange(num_images), 2)
    said_CE = shown_BE[image_C] + rng.normal(size=(2 * num_images, WIDTH)) + 1
    return feature_BD, image_C, said_CE / np.linalg.norm(said_CE, axis=1, keepdims=True)


def batches(feature_BD: np.ndarray, image_C: np.ndarray, said_CE: np.ndarray, fold_B: np.ndarray, size: int = 70):
    for start in range(0, len(feature_BD), size):
        stop = min(start + size, len(feature_BD))
        mine = (image_C >= start) & (image_C < stop)
        yield CaptionBatch(feature_BD[start:stop], fold_B[start:stop], image_C[mine] - start, said_CE[mine])


def fitted(seed: int = 0) -> tuple[CaptionProbe, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    given, fold_B = world(seed=seed), np.arange(240) % 3
    probe = fit_captions(batches(*given, fold_B), WIDTH, PARAMS)
    probe.calibrate(batches(*given, fold_B), PARAMS.prior_weight)
    return probe, given, fold_B


def test_the_similarity_is_to_what_a_ridge_regression_expects_that_did_not_see_the_image() -> None:
    probe, (feature_BD, image_C, said_CE), fold_B = fitted()
    target_BE = (said_CE[::2] + said_CE[1::2]) / 2
    for fold in range(3):
        others, mine = fold_B != fold, np.flatnonzero(fold_B == fold)
        mean_D, scale_D = feature_BD[others].mean(0), feature_BD[others].std(0)
        ridge = Ridge(alpha=PARAMS.ridge * others.sum()).fit((feature_BD[others] - mean_D) / scale_D, target_BE[others])
        mean_E = target_BE[others].mean(0)
        expected_BE = ridge.predict((feature_BD[mine] - mean_D) / scale_D) - mean_E
        said = said_CE[image_C == mine[0]] - mean_E
        cosine = said @ expected_BE[0] / np.linalg.norm(expected_BE[0]) / np.linalg.norm(said, axis=1)
        own = CaptionBatch(feature_BD[mine[:1]], fold_B[mine[:1]], np.zeros(2, int), said_CE[image_C == mine[0]])
        np.testing.assert_allclose(probe.similarity(own), cosine, atol=1e-4)


def test_evidence_tells_own_captions_from_those_of_other_images() -> None:
    from sklearn.metrics import roc_auc_score

    probe, (feature_BD, image_C, said_CE), fold_B = fitted()
    own = probe.evidence(CaptionBatch(feature_BD, fold_B, image_C, said_CE))
    foreign = probe.evidence(CaptionBatch(feature_BD, fold_B, image_C, np.roll(said_CE, 2 * 37, axis=0)))
    assert roc_auc_score(np.repeat([1, 0], len(own)), np.concatenate([own, foreign])) > 0.8
    # Calibrated: as a log-likelihood ratio of two groups of one size it gives the share of own captions at its value.
    value = np.concatenate([own, foreign])
    is_own = np.repeat([1, 0], len(own))
    doubtful = np.abs(value) < 1
    assert abs(is_own[doubtful].mean() - (1 / (1 + np.exp(-value[doubtful]))).mean()) < 0.08


def test_an_image_that_no_fold_saw_is_judged_by_all_of_them() -> None:
    probe, (_, _, said_CE), _ = fitted()
    new = world(seed=1)  # other images of another world: features alone
    one = CaptionBatch(new[0][:1], np.array([-1]), np.zeros(1, int), said_CE[:1])
    folds = [CaptionBatch(new[0][:1], np.array([f]), np.zeros(1, int), said_CE[:1]) for f in range(3)]
    values = [float(probe.similarity(batch)[0]) for batch in folds]
    assert min(values) - 0.05 <= probe.similarity(one)[0] <= max(values) + 0.05


def test_captions_that_say_nothing_of_their_images_give_no_evidence() -> None:
    feature_BD, image_C, said_CE = world()
    said_CE = np.random.default_rng(5).permutation(said_CE)
    fold_B = np.arange(240) % 3
    probe = fit_captions(batches(feature_BD, image_C, said_CE, fold_B), WIDTH, PARAMS)
    probe.calibrate(batches(feature_BD, image_C, said_CE, fold_B), PARAMS.prior_weight)
    assert np.abs(probe.evidence(CaptionBatch(feature_BD, fold_B, image_C, said_CE))).max() < 0.7


def test_images_without_captions_change_nothing() -> None:
    feature_BD, image_C, said_CE = world()
    fold_B = np.arange(240) % 3
    without = np.concatenate([feature_BD, np.full((1, 10), 9.0)]), image_C, said_CE
    plain = fit_captions(batches(feature_BD, image_C, said_CE, fold_B), WIDTH, PARAMS)
    other = fit_captions(batches(*without, np.append(fold_B, 0)), WIDTH, PARAMS)
    batch = CaptionBatch(feature_BD, fold_B, image_C, said_CE)
    np.testing.assert_allclose(plain.similarity(batch), other.similarity(batch), atol=1e-6)


def test_captions_that_are_not_in_the_order_of_their_images_are_refused() -> None:
    with pytest.raises(ValueError, match="must stand together"):
        CaptionBatch(np.zeros((2, 3)), np.zeros(2, int), np.array([1, 0]), np.zeros((2, 4)))
