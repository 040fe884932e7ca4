"""Labeled scores -> thresholds.json: every tag's threshold, that of new tags, and the calibrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ram.evaluation.calibration import Method, expected_calibration_error, fit
from ram.evaluation.thresholds import TagScores, Target, Thresholds, calibrate, pooled

# N scored (image, tag) pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdParams:
    """How thresholds are chosen and scores calibrated."""

    target: Target  # f1 | precision | precision=recall
    min_precision: float  # for target precision
    prior_positives: float  # a tag with so many labels leans half on its kind's threshold
    min_kind_positives: int  # a kind with fewer labels takes the threshold of all tags
    min_open_set_positives: int  # with fewer labels of untrained names, open_set is default * open_set_factor
    open_set_factor: float
    calibration: Method  # platt | temperature | isotonic | none
    num_bins: int = 15  # of the calibration error

    def __post_init__(self) -> None:
        for name, kinds in (("target", Target), ("calibration", Method)):
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; known: {', '.join(get_args(kinds))}")
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

    New tags have a calibration of their own, a temperature and no more, fitted on the untrained tags where these have
    `min_open_set_positives` labels. `ValueError` where no trained tag has a positive.
    """
    found = calibrate(
        trained, params.target, params.min_precision, params.prior_positives, params.min_kind_positives
    )  # fmt: skip
    enough = _have_enough(untrained, params)
    open_set = _open_set(untrained, found, params)
    temperature: Method = "none" if params.calibration == "none" else "temperature"
    return {
        "target": params.target,
        "default": found.default,
        "open_set": open_set,
        "kinds": dict(found.kinds),
        "tags": {**found.tags, **{tag.name: open_set for tag in untrained}},
        "support": {tag.name: tag.num_positives for tag in (*trained, *untrained)},
        "untrained": [tag.name for tag in untrained],
        "open_set_calibration": _calibration(untrained, temperature, params.num_bins) if enough else None,
        **_calibration(trained, params.calibration, params.num_bins),
    }


def _have_enough(untrained: Sequence[TagScores], params: ThresholdParams) -> bool:
    return sum(tag.num_positives for tag in untrained) >= max(params.min_open_set_positives, 1)


def _open_set(untrained: Sequence[TagScores], found: Thresholds, params: ThresholdParams) -> float:
    if _have_enough(untrained, params):
        return pooled(untrained, params.target, params.min_precision)
    return found.default * params.open_set_factor


def _calibration(tags: Sequence[TagScores], method: Method, num_bins: int) -> dict[str, Any]:
    """The calibration, and its error on images held out: of each half by a fit on the other; kept is one on all."""
    scores, positive, images = (
        np.concatenate([getattr(tag, field) for tag in tags]) for field in ("scores", "positive", "images")
    )
    after = [
        expected_calibration_error(fit(scores[a], positive[a], method)(scores[b]), positive[b], num_bins)
        for a, b in halves(images)
    ]
    before = expected_calibration_error(scores, positive, num_bins)
    return {
        **fit(scores, positive, method).to_json(),
        "ece_before": before,
        "ece_after": float(np.mean(after)) if after else before,
        "num_scores": len(scores),
        "share_of_positives": float(positive.mean()),
    }


def halves(images_N: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks (to fit on, to judge by): both halves of the images in turn; none where one half has nothing."""
    sides = [images_N % 2 == side for side in (0, 1)]
    return [(a, b) for a, b in (sides, sides[::-1]) if a.any() and b.any()]
