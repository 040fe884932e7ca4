from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ram.evaluation.thresholds import Curve, TagScores, best_threshold, calibrate, lean

SCORES = hnp.arrays(np.float32, 17, elements=st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]))
LABELS = hnp.arrays(bool, 17).filter(lambda labels: labels.any())


def reference(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at every distinct score, by scikit-learn, the highest first."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positive, scores)
    return precision[:-1][::-1], recall[:-1][::-1]


@settings(deadline=None)
@given(SCORES, LABELS)
def test_the_curve_is_scikit_learns(scores: np.ndarray, positive: np.ndarray) -> None:
    curve = Curve.of(scores, positive)
    for ours, theirs in zip((curve.precision, curve.recall), reference(scores, positive), strict=True):
        np.testing.assert_allclose(ours, theirs)


@settings(deadline=None)
@given(SCORES, LABELS)
def test_no_threshold_has_a_better_f1(scores: np.ndarray, positive: np.ndarray) -> None:
    from sklearn.metrics import f1_score

    chosen = f1_score(positive, scores >= best_threshold(scores, positive, "f1"))
    assert chosen == pytest.approx(max(f1_score(positive, scores >= t) for t in np.unique(scores)))


@settings(deadline=None)
@given(SCORES, LABELS, st.floats(0, 1))
def test_the_precision_wanted_is_reached_with_the_highest_recall(scores, positive, min_precision: float) -> None:
    threshold = best_threshold(scores, positive, "precision", min_precision)
    predicted = scores >= threshold
    precision, recall = (predicted & positive).sum() / predicted.sum(), (predicted & positive).sum() / positive.sum()
    all_precisions, all_recalls = reference(scores, positive)
    if (all_precisions >= min_precision).any():
        assert precision >= min_precision
        assert recall == pytest.approx(all_recalls[all_precisions >= min_precision].max())
    else:
        assert precision == pytest.approx(all_precisions.max())


def test_precision_equals_recall_where_as_many_are_predicted_as_there_are() -> None:
    generator = np.random.default_rng(0)
    scores, positive = generator.random(500), generator.random(500) < 0.2
    scores = scores + positive
    assert (scores >= best_threshold(scores, positive, "precision=recall")).sum() == positive.sum()


def test_a_tag_with_few_positives_leans_on_its_group() -> None:
    assert lean(0.9, 0, 0.4, 10) == 0.4
    assert lean(float("nan"), 0, 0.4, 10) == 0.4
    assert 0.4 < lean(0.9, 1, 0.4, 10) < lean(0.9, 100, 0.4, 10) < 0.9
    assert lean(0.9, 5, 0.4, 0) == pytest.approx(0.9)


def make_tag(name: str, kind: str, middle: float, num_positives: int, seed: int) -> TagScores:
    generator = np.random.default_rng(seed)
    positive = np.arange(200) < num_positives
    scores = np.where(
        positive, generator.uniform(middle, middle + 0.1, 200), generator.uniform(middle - 0.1, middle, 200)
    )
    return TagScores(name, kind, scores, positive, np.arange(200))


def test_kinds_and_tags_have_their_own_thresholds() -> None:
    tags = [
        make_tag("dog", "object", 0.3, 50, 0),
        make_tag("run", "action", 0.8, 50, 1),
        make_tag("rare", "scene", 0.5, 1, 2),
    ]
    found = calibrate(tags, "f1", 0.0, prior_positives=5, min_kind_positives=10)
    assert found.kinds["object"] == pytest.approx(0.3, abs=0.03)
    assert found.kinds["action"] == pytest.approx(0.8, abs=0.03)
    assert found.kinds["scene"] == found.default
    assert abs(found.tags["rare"] - found.default) < abs(0.5 - found.default)


def test_labels_without_any_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="no image of split dev has a label"):
        calibrate([make_tag("dog", "object", 0.3, 0, 0)], "f1", 0.0, 5, 1)
