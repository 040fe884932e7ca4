from __future__ import annotations

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint
from cleanlab.rank import get_label_quality_scores
from scipy.stats import spearmanr

from ram.data_engine.detectors.confident_learning import score_rows


def tag_rows(separation: float, num_wrong: int = 30, seed: int = 0) -> np.ndarray:
    """Evidence of 200 rows as the probe gives it: normal around ± half its variance; the last ones are wrong."""
    rng = np.random.default_rng(seed)
    side = np.where(np.arange(200) < 200 - num_wrong, 1, -1)
    return side * separation**2 / 2 + separation * rng.normal(size=200)


def with_mirrored_negatives(evidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities as cleanlab wants them; the images without the tag mirror those with it."""
    labels = np.repeat([1, 0], len(evidence))
    p = 1 / (1 + np.exp(-np.concatenate([evidence, -evidence])))
    return labels, np.stack([1 - p, p], axis=1)


@pytest.mark.parametrize("separation", [0.3, 1.0, 2.0, 4.0])
def test_above_one_half_are_the_rows_that_cleanlab_counts_as_wrong(separation: float) -> None:
    evidence = tag_rows(separation)
    labels, probabilities = with_mirrored_negatives(evidence)
    _, wrong = compute_confident_joint(labels, probabilities, calibrate=False, return_indices_of_off_diagonals=True)
    found = np.flatnonzero(score_rows(evidence, np.ones(200, dtype=bool)) > 0.5)
    assert found.tolist() == sorted(i for i in wrong if i < 200)


@pytest.mark.parametrize(
    ("method", "adjusted"),
    [
        ("self_confidence", False),
        ("self_confidence", True),
        ("normalized_margin", False),
        ("normalized_margin", True),
        ("confidence_weighted_entropy", False),  # cleanlab defines no adjusted entropy
    ],
)
def test_rows_order_as_every_quality_score_of_cleanlab_orders_them(method: str, adjusted: bool) -> None:
    evidence = tag_rows(2.0)
    labels, probabilities = with_mirrored_negatives(evidence)
    quality = get_label_quality_scores(labels, probabilities, method=method, adjust_pred_probs=adjusted)[:200]
    assert spearmanr(score_rows(evidence, np.ones(200, dtype=bool)), -quality).statistic == pytest.approx(1)


def test_wrong_rows_score_higher() -> None:
    found = score_rows(tag_rows(3.0), np.ones(200, dtype=bool))
    assert found[-30:].min() > np.median(found[:-30])
    assert ((found >= 0) & (found <= 1)).all()


def test_where_nobody_said_the_tag_nothing_is_judged() -> None:
    assert np.isnan(score_rows(tag_rows(3.0), np.zeros(200, dtype=bool))).all()


def test_only_what_somebody_said_sets_the_bar() -> None:
    evidence = tag_rows(2.0)
    trusted = np.arange(200) < 100
    changed = evidence.copy()
    changed[150:] -= 5
    before, after = score_rows(evidence, trusted), score_rows(changed, trusted)
    np.testing.assert_array_equal(before[:150], after[:150])
