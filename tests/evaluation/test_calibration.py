from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ram.evaluation.calibration import Method, expected_calibration_error, fit
from ram.inference.calibration import Calibration, calibration_of, logit


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Scores whose true calibration is temperature 2, bias -1.5."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, 60_000)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return scores, generator.random(60_000) < Calibration(2.0, -1.5)(scores)


def test_the_fit_finds_the_calibration_the_labels_were_drawn_by(drawn) -> None:
    found = fit(*drawn, "platt")
    assert found.temperature == pytest.approx(2.0, rel=0.05)
    assert found.bias == pytest.approx(-1.5, abs=0.05)


def test_the_fit_is_that_of_logistic_regression(drawn) -> None:
    from sklearn.linear_model import LogisticRegression

    scores, positive = drawn
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(scores)[:, None], positive)
    found = fit(scores, positive, "platt")
    assert 1 / found.temperature == pytest.approx(reference.coef_[0, 0], rel=1e-3)
    assert found.bias == pytest.approx(reference.intercept_[0], rel=1e-3)


def test_calibrating_lowers_the_error(drawn) -> None:
    scores, positive = drawn
    before = expected_calibration_error(scores, positive)
    after = expected_calibration_error(fit(scores, positive, "platt")(scores), positive)
    assert after < 0.01 < 0.1 < before


def test_the_error_is_that_of_torchmetrics(drawn) -> None:
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    scores, positive = drawn
    reference = binary_calibration_error(torch.tensor(scores), torch.tensor(positive).long(), n_bins=15, norm="l1")
    assert expected_calibration_error(scores, positive) == pytest.approx(float(reference), abs=1e-5)


def test_temperature_alone_has_no_bias_and_the_order_stays(drawn) -> None:
    scores, positive = drawn
    found = fit(scores, positive, "temperature")
    assert found.bias == 0
    assert (np.diff(found(np.linspace(0, 1, 50))) >= 0).all()


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_labels_all_alike_leave_the_scores_as_they_are(positive: list[bool]) -> None:
    assert fit(np.array([0.2, 0.7]), np.array(positive), "platt") == Calibration()


def test_scores_that_tell_all_labels_apart_do_not_run_away() -> None:
    found = fit(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]), "platt")
    assert 0.05 < found.temperature < 2
    assert np.isfinite(found.bias)


def test_scores_that_are_wrong_leave_the_order_as_it_is() -> None:
    assert fit(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False]), "platt") == Calibration()


def test_scores_of_0_and_1_stay_finite() -> None:
    assert np.isfinite(Calibration(0.5, 1.0)(np.array([0.0, 1.0]))).all()


def test_no_scores_have_no_error() -> None:
    with pytest.raises(ValueError, match="no score at all"):
        expected_calibration_error(np.zeros(0), np.zeros(0))


def test_isotonic_is_that_of_scikit_learn_at_and_between_the_scores() -> None:
    from sklearn.isotonic import IsotonicRegression

    generator = np.random.default_rng(1)
    scores = generator.integers(0, 400, 3000) / 400
    positive = generator.random(3000) < scores**2 * 0.8
    reference = IsotonicRegression(out_of_bounds="clip").fit(scores, positive.astype(float))
    found = fit(scores, positive, "isotonic")
    asked = np.concatenate([scores, generator.random(500), [0.0, 1.0]])
    np.testing.assert_allclose(found(asked), reference.predict(asked), atol=1e-12)
    assert (np.diff(found(np.linspace(0, 1, 300))) >= 0).all()


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.1, 0.3, 0.30001, 0.8, 1.0])),
    hnp.arrays(bool, 12).filter(lambda labels: 0 < labels.sum() < 12),
)
def test_isotonic_of_few_equal_scores_is_scikit_learns_too(scores: np.ndarray, positive: np.ndarray) -> None:
    from sklearn.isotonic import IsotonicRegression

    reference = IsotonicRegression(out_of_bounds="clip").fit(scores, positive.astype(float))
    np.testing.assert_allclose(fit(scores, positive, "isotonic")(scores), reference.predict(scores), atol=1e-9)


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic", "none"])
def test_a_calibration_is_the_same_after_json(drawn, method: Method) -> None:
    scores, positive = drawn
    found = fit(scores[:500], positive[:500], method)
    again = calibration_of(json.loads(json.dumps(found.to_json())))
    assert again is not None
    np.testing.assert_array_equal(again(scores[:100]), found(scores[:100]))
    assert calibration_of({"default": 0.5}) is None
