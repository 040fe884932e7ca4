"""Scores as probabilities: a temperature and a bias fitted to labels, and how far off they are."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ram.inference.calibration import AnyCalibration, Calibration, IsotonicCalibration, logit, sigmoid

Method = Literal["platt", "temperature", "isotonic", "none"]

# N scored (image, tag) pairs

_MAX_STEPS = 100


def fit(scores_N: np.ndarray, positive_N: np.ndarray, method: Method) -> AnyCalibration:
    """The calibration of the greatest likelihood, by Newton's method (Platt 1999; Guo et al. 2017: temperature).

    "isotonic" is the rising function of the least squared error instead (Zadrozny and Elkan 2002).

    The labels are drawn towards each other as Platt does, by one in as many as there are, so that scores that tell them
    apart wholly have a fit too. No change where the labels are all alike, or where higher scores are wrong more often.
    """
    labels = np.asarray(positive_N, dtype=bool)
    num_positives, num_negatives = int(labels.sum()), int((~labels).sum())
    if method == "none" or not num_positives or not num_negatives:
        return Calibration()
    if method == "isotonic":
        return _fit_isotonic(np.asarray(scores_N, dtype=np.float64), labels)
    positive = np.where(labels, (num_positives + 1) / (num_positives + 2), 1 / (num_negatives + 2))
    columns = [logit(scores_N)] + ([np.ones(len(positive))] if method == "platt" else [])
    design = np.stack(columns, axis=1)
    weights = np.zeros(design.shape[1])
    weights[0] = 1.0
    loss = _loss(design @ weights, positive)
    for _ in range(_MAX_STEPS):
        p = sigmoid(design @ weights)
        gradient = design.T @ (p - positive)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while (new_loss := _loss(design @ (weights - scale * step), positive)) > loss and scale > 1e-6:
            scale /= 2
        weights = weights - scale * step
        if loss - new_loss < 1e-10 * max(loss, 1.0):
            break
        loss = new_loss
    slope = float(weights[0])
    if slope < 1e-3:
        return Calibration()
    return Calibration(1 / slope, float(weights[1]) if method == "platt" else 0.0)


def _fit_isotonic(scores_N: np.ndarray, positive_N: np.ndarray) -> IsotonicCalibration:
    """Equal scores are one point of the sum of their weights; a level part of the function keeps its two ends alone."""
    from scipy.optimize import isotonic_regression

    scores_Q, place_N = np.unique(scores_N, return_inverse=True)
    weights_Q = np.bincount(place_N)
    shares_Q = np.bincount(place_N, weights=positive_N) / weights_Q
    fitted_Q = isotonic_regression(shares_Q, weights=weights_Q).x
    same_as_last = np.append(False, fitted_Q[1:] == fitted_Q[:-1])
    same_as_next = np.append(same_as_last[1:], False)
    kept = ~(same_as_last & same_as_next)
    return IsotonicCalibration(tuple(scores_Q[kept].tolist()), tuple(fitted_Q[kept].tolist()))


def _loss(logits: np.ndarray, positive: np.ndarray) -> float:
    return float((np.logaddexp(0, logits) - positive * logits).sum())


def expected_calibration_error(probabilities_N: np.ndarray, positive_N: np.ndarray, num_bins: int = 15) -> float:
    """Mean distance, in 0 … 1, of probability and share of positives over equal bins, weighted by their sizes."""
    probabilities = np.asarray(probabilities_N, dtype=np.float64)
    if not len(probabilities):
        raise ValueError("the calibration error of no score at all is not defined; give at least one")
    bins = np.minimum((probabilities * num_bins).astype(np.int64), num_bins - 1)
    surplus = np.asarray(positive_N, dtype=np.float64) - probabilities
    return float(np.abs(np.bincount(bins, weights=surplus, minlength=num_bins)).sum() / len(probabilities))
