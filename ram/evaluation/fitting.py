"""Labelled scores -> thresholds.json: every tag's threshold, that of new tags, and the calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ram.evaluation.calibration import Calibration, Method, expected_calibration_error, fit
from ram.evaluation.thresholds import TagScores, Target, Thresholds, calibrate, pooled


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdParams:
    """How thresholds are chosen and scores calibrated."""

    target: Target  # f1 | precision | precision=recall
    min_precision: float  # for target precision
    prior_positives: float  # a tag with so many labels leans half on its kind's threshold
    min_kind_positives: int  # a kind with fewer labels takes the threshold of all tags
    min_open_set_positives: int  # with fewer labels of untrained names, open_set is default * open_set_factor
    open_set_factor: float
    calibration: Method  # platt | temperature | none
    num_bins: int = 15  # of the calibration error

    def __post_init__(self) -> None:
        if not 0 <= self.min_precision <= 1:
            raise ValueError(f"min_precision must lie between 0 and 1, got {self.min_precision}")
        if self.prior_positives < 0:
            raise ValueError(f"prior_positives must be 0 or more, got {self.prior_positives}")
        if not 0 < self.open_set_factor <= 1:
            raise ValueError(f"open_set_factor must be above 0 and at most 1, got {self.open_set_factor}")


def fit_thresholds(
    trained: Sequence[TagScores], untrained: Sequence[TagScores], params: ThresholdParams
) -> dict[str, Any]:
    """The document thresholds.json; tags that were not trained get the open-set threshold, as any new tag does.

    `ValueError` where no trained tag has a positive.
    """
    found = calibrate(
        trained, params.target, params.min_precision, params.prior_positives, params.min_kind_positives
    )  # fmt: skip
    open_set = _open_set(untrained, found, params)
    return {
        "target": params.target,
        "default": found.default,
        "open_set": open_set,
        "kinds": dict(found.kinds),
        "tags": {**found.tags, **{tag.name: open_set for tag in untrained}},
        "support": {tag.name: tag.num_positives for tag in (*trained, *untrained)},
        "untrained": [tag.name for tag in untrained],
        **_calibration(trained, params),
    }


def _open_set(untrained: Sequence[TagScores], found: Thresholds, params: ThresholdParams) -> float:
    if sum(tag.num_positives for tag in untrained) >= max(params.min_open_set_positives, 1):
        return pooled(untrained, params.target, params.min_precision)
    return found.default * params.open_set_factor


def _calibration(trained: Sequence[TagScores], params: ThresholdParams) -> dict[str, Any]:
    """Temperature, bias and calibration error: of each half of the pairs by a fit on the other; kept is one on all."""
    scores = np.concatenate([tag.scores for tag in trained])
    positive = np.concatenate([tag.positive for tag in trained])
    calibration: Calibration = fit(scores, positive, params.calibration)
    halves = [np.arange(len(scores)) % 2 == side for side in (0, 1)]
    after = [
        expected_calibration_error(
            fit(scores[a], positive[a], params.calibration)(scores[b]), positive[b], params.num_bins
        )
        for a, b in (halves, halves[::-1])
        if a.any() and b.any()
    ]
    before = expected_calibration_error(scores, positive, params.num_bins)
    return {
        "temperature": calibration.temperature,
        "bias": calibration.bias,
        "ece_before": before,
        "ece_after": float(np.mean(after)) if after else before,
        "num_scores": len(scores),
        "share_of_positives": float(positive.mean()),
    }
