"""Scores as probabilities: how a fitted calibration is applied. `ram.evaluation.calibration` fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

EPSILON = 1e-7  # float32 scores cannot come nearer to 0 or 1 and keep their logit

# N scores, Q knots


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(logit(score) / temperature + bias). It is increasing: the order of the scores stays."""

    temperature: float = 1.0
    bias: float = 0.0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities, float64, of scores in 0 … 1."""
        return sigmoid(logit(scores) / self.temperature + self.bias)

    def to_json(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "bias": self.bias}


@dataclass(frozen=True)
class IsotonicCalibration:
    """probability read off a rising line through knots, which is level outside of them; equal scores stay equal."""

    scores_Q: Sequence[float]  # rising
    probabilities_Q: Sequence[float]  # not falling

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities, float64, of scores in 0 … 1."""
        return np.interp(np.asarray(scores, dtype=np.float64), self.scores_Q, self.probabilities_Q)

    def to_json(self) -> dict[str, Any]:
        # Readers that know temperatures alone find the one that changes nothing.
        knots = {"scores": list(self.scores_Q), "probabilities": list(self.probabilities_Q)}
        return {"temperature": 1.0, "bias": 0.0, "isotonic": knots}


AnyCalibration = Calibration | IsotonicCalibration


def calibration_of(document: Mapping[str, Any]) -> AnyCalibration | None:
    """The calibration that `to_json` wrote, of a larger document; None where there is none."""
    if knots := document.get("isotonic"):
        return IsotonicCalibration(knots["scores"], knots["probabilities"])
    if "temperature" not in document:
        return None
    return Calibration(float(document["temperature"]), float(document.get("bias", 0.0)))


def logit(scores: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), float64; scores are kept `EPSILON` away from 0 and 1."""
    p = np.clip(np.asarray(scores, dtype=np.float64), EPSILON, 1 - EPSILON)
    return np.log(p) - np.log1p(-p)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), in the precision of `x`."""
    return 1 / (1 + np.exp(-x))
