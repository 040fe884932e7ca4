from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ram.evaluation import average_precision as module
from ram.evaluation.average_precision import Ranking, average_precisions, interval, mean_of, micro_average_precision

# Few distinct scores, so that most of them tie.
TIED = hnp.arrays(np.float32, (13, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
LABELS = hnp.arrays(bool, (13, 4))


@settings(deadline=None)
@given(TIED, LABELS)
def test_it_is_scikit_learns_with_ties(scores: np.ndarray, positive: np.ndarray) -> None:
    from sklearn.metrics import average_precision_score

    values, _ = average_precisions(scores, positive)
    for k in range(4):
        if positive[:, k].any():
            assert values[k] == pytest.approx(average_precision_score(positive[:, k], scores[:, k]), abs=1e-12)
        else:
            assert np.isnan(values[k])


@settings(deadline=None, max_examples=50)
@given(TIED, LABELS, st.integers(0, 10_000))
def test_weights_are_scikit_learns_sample_weights(scores: np.ndarray, positive: np.ndarray, seed: int) -> None:
    from sklearn.metrics import average_precision_score

    weight = np.random.default_rng(seed).integers(0, 4, size=13)
    values = Ranking.of(scores, positive).average_precision(weight)
    for k in range(4):
        if (weight * positive[:, k]).any():
            reference = average_precision_score(positive[:, k], scores[:, k], sample_weight=weight)
            assert values[k] == pytest.approx(reference, abs=1e-12)


def test_it_is_that_of_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multilabel_average_precision

    generator = np.random.default_rng(0)
    scores, positive = generator.random((200, 7)).astype(np.float32).round(2), generator.random((200, 7)) < 0.2
    reference = multilabel_average_precision(
        torch.tensor(scores), torch.tensor(positive).long(), num_labels=7, average="none"
    )
    np.testing.assert_allclose(average_precisions(scores, positive)[0], reference.numpy(), atol=1e-5)


def test_micro_is_scikit_learns() -> None:
    from sklearn.metrics import average_precision_score

    generator = np.random.default_rng(1)
    scores, positive = generator.random((50, 6)).round(1), generator.random((50, 6)) < 0.3
    reference = average_precision_score(positive, scores, average="micro")
    assert micro_average_precision(scores, positive) == pytest.approx(reference)


def test_tags_taken_a_few_at_a_time_have_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    scores, positive = generator.random((40, 9)), generator.random((40, 9)) < 0.3
    whole = average_precisions(scores, positive, num_bootstrap=5, seed=3)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 80)
    parts = average_precisions(scores, positive, num_bootstrap=5, seed=3)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_bootstrap_draw_is_the_metric_of_the_resampled_images() -> None:
    generator = np.random.default_rng(4)
    scores, positive = generator.random((30, 3)), generator.random((30, 3)) < 0.4
    _, resampled = average_precisions(scores, positive, num_bootstrap=1, seed=9)
    drawn = np.random.default_rng(9).integers(30, size=30)
    np.testing.assert_allclose(resampled[0], average_precisions(scores[drawn], positive[drawn])[0])


def draw(generator: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    positive = generator.random((num, 5)) < 0.1
    return positive + generator.normal(size=(num, 5)), positive


def test_the_interval_holds_the_estimate_and_narrows_with_more_images() -> None:
    generator = np.random.default_rng(5)
    widths = []
    for num in (100, 2000):
        values, resampled = average_precisions(*draw(generator, num), num_bootstrap=100)
        low, high = interval(mean_of(values), resampled)
        assert low < mean_of(values) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_nineteen_of_twenty_intervals_hold_the_mean_over_data_sets() -> None:
    generator = np.random.default_rng(6)
    runs = [average_precisions(*draw(generator, 150), num_bootstrap=60, seed=i) for i in range(150)]
    middle = np.mean([mean_of(values) for values, _ in runs])
    found = [interval(mean_of(values), resampled) for values, resampled in runs]
    assert 0.87 <= np.mean([low <= middle <= high for low, high in found]) <= 1.0


def test_means_leave_out_tags_without_positives() -> None:
    values = np.array([0.5, np.nan, 1.0])
    assert mean_of(values) == 0.75
    assert mean_of(values, np.array([False, True, True])) == 1.0
    assert mean_of(values, np.array([False, True, False])) is None
    assert interval(0.5, np.zeros((0, 3))) is None


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 scores are NaN"):
        average_precisions(np.array([[np.nan], [0.1]]), np.array([[True], [False]]))


def test_no_images_give_no_values() -> None:
    values, resampled = average_precisions(np.zeros((0, 2)), np.zeros((0, 2), bool), num_bootstrap=3)
    assert np.isnan(values).all()
    assert resampled.shape == (0, 2)
