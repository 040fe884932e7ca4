from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ram.data_engine.thresholds import NEVER, ScoreHistogram, ThresholdParams, precision_thresholds

PARAMS = ThresholdParams(
    target_precision=0.8, caution=0.0, min_positives=5, prior_weight=1.0, caption_recall=0.5, min_score=0.05
)


def scores_and_labels(num_images: int, quality: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated scores of one tag a column: a label is drawn with the score's own probability, if quality is 1."""
    rng = np.random.default_rng(0)
    scores_BK = rng.random((num_images, len(quality)))
    return scores_BK, rng.random(scores_BK.shape) < scores_BK * np.asarray(quality)


def histogram(scores_BK: np.ndarray, positive_BK: np.ndarray) -> ScoreHistogram:
    counts = ScoreHistogram(scores_BK.shape[1])
    counts.add(scores_BK, positive_BK)
    return counts


def test_batches_add_up_and_labels_that_are_not_known_do_not_count() -> None:
    scores_BK, positive_BK = scores_and_labels(300, [1.0, 0.5])
    whole, parts = histogram(scores_BK, positive_BK), ScoreHistogram(2)
    for rows in np.split(np.arange(300), 3):
        parts.add(scores_BK[rows], positive_BK[rows])
    np.testing.assert_array_equal(whole.totals_KT, parts.totals_KT)
    np.testing.assert_array_equal(whole.positives_KT, parts.positives_KT)
    parts.add(scores_BK, positive_BK, np.zeros_like(positive_BK))
    assert parts.totals_KT.sum() == 600


def added(scores_BK: np.ndarray, positive_BK: np.ndarray, tag: int, threshold: float) -> np.ndarray:
    """Whether each tag that would be added is right: captions name some of the right ones, and none of the others."""
    named_B = positive_BK[:, tag] & (np.random.default_rng(1).random(len(scores_BK)) < PARAMS.caption_recall)
    return positive_BK[(scores_BK[:, tag] >= threshold) & ~named_B, tag]


def test_the_precision_of_what_is_added_is_what_was_wanted() -> None:
    scores_BK, positive_BK = scores_and_labels(20_000, [1.0, 0.95])
    found = precision_thresholds(histogram(scores_BK, positive_BK), ScoreHistogram(2), ["object"] * 2, PARAMS)
    for tag in range(2):
        right = added(scores_BK, positive_BK, tag, found.threshold_K[tag])
        assert right.mean() == pytest.approx(0.8, abs=0.03)
        assert found.precision_K[tag] == pytest.approx(right.mean(), abs=0.03)
    assert found.threshold_K[0] < found.threshold_K[1]
    assert found.basis == ["labels", "labels"]


def test_a_tag_that_is_never_sure_enough_is_never_predicted() -> None:
    scores_BK, positive_BK = scores_and_labels(5000, [0.3])
    found = precision_thresholds(histogram(scores_BK, positive_BK), ScoreHistogram(1), ["object"], PARAMS)
    assert found.threshold_K[0] == NEVER
    assert np.isnan(found.precision_K[0])


def test_captions_stand_in_for_labels_corrected_for_what_they_leave_out() -> None:
    scores_BK, true_BK = scores_and_labels(20_000, [1.0])
    said_BK = true_BK & (np.random.default_rng(1).random(true_BK.shape) < PARAMS.caption_recall)
    by_labels = precision_thresholds(histogram(scores_BK, true_BK), ScoreHistogram(1), ["object"], PARAMS)
    by_captions = precision_thresholds(ScoreHistogram(1), histogram(scores_BK, said_BK), ["object"], PARAMS)
    assert by_captions.basis == ["captions"]
    assert by_captions.threshold_K[0] == pytest.approx(by_labels.threshold_K[0], abs=0.03)


def test_a_tag_without_positives_gets_the_threshold_of_its_kind() -> None:
    scores_BK, positive_BK = scores_and_labels(20_000, [1.0, 0.95, 0.0])
    counts = histogram(scores_BK, positive_BK)
    counts.totals_KT[2] = 0
    found = precision_thresholds(counts, ScoreHistogram(3), ["object", "attribute", "attribute"], PARAMS)
    assert found.basis[2] == "kind"
    assert found.threshold_K[2] == pytest.approx(found.threshold_K[1], abs=0.02)
    assert found.threshold_K[2] > found.threshold_K[0] + 0.05


def test_caution_raises_a_threshold_and_more_so_with_few_labels() -> None:
    careful = dataclasses.replace(PARAMS, caution=1.0)
    rises = []
    for num_images in (200, 20_000):
        scores_BK, positive_BK = scores_and_labels(num_images, [1.0])
        counts = histogram(scores_BK, positive_BK)
        plain, raised = (
            precision_thresholds(counts, ScoreHistogram(1), ["object"], p).threshold_K[0] for p in (PARAMS, careful)
        )
        rises.append(raised - plain)
    assert rises[0] > rises[1] > 0


def test_held_back_tags_are_never_predicted() -> None:
    scores_BK, positive_BK = scores_and_labels(5000, [1.0, 1.0])
    found = precision_thresholds(histogram(scores_BK, positive_BK), ScoreHistogram(2), ["object"] * 2, PARAMS)
    assert found.without([1]).threshold_K.tolist() == [found.threshold_K[0], NEVER]


def test_params_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="target_precision must lie between 0 and 1, got 1"):
        dataclasses.replace(PARAMS, target_precision=1.0)
