"""Which score says yes: one threshold for many tags, or one a tag, leaning on its group where it has few positives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Target = Literal["f1", "precision", "precision=recall"]

# N scored (image, tag) pairs


@dataclass(frozen=True)
class Curve:
    """Precision and recall at every threshold that changes a decision, the highest first."""

    threshold: np.ndarray  # halfway between neighboring scores, so that equal scores decide alike
    precision: np.ndarray
    recall: np.ndarray

    @classmethod
    def of(cls, scores_N: np.ndarray, positive_N: np.ndarray) -> Curve:
        """Needs at least one positive."""
        scores_N, positive_N = np.asarray(scores_N, dtype=np.float64), np.asarray(positive_N, dtype=bool)
        assert positive_N.any()
        order = np.argsort(-scores_N, kind="stable")
        ranked = scores_N[order]
        last = np.append(ranked[1:] != ranked[:-1], True)
        hits = positive_N[order].cumsum()[last]
        num_predicted = np.flatnonzero(last) + 1
        distinct = ranked[last]
        below = np.append(distinct[1:], 0.0)  # the lowest threshold says yes to all: halfway to 0
        return cls((distinct + below) / 2, hits / num_predicted, hits / positive_N.sum())


def best_threshold(scores_N: np.ndarray, positive_N: np.ndarray, target: Target, min_precision: float = 0.0) -> float:
    """The threshold, in 0 … 1, that reaches the target; NaN without positives.

    "f1": the highest F1. "precision": the highest recall among those of at least `min_precision`; where none has it,
    the highest precision. "precision=recall": the smallest difference of the two. Of equals, the highest threshold.
    """
    if not np.asarray(positive_N, dtype=bool).any():
        return float("nan")
    curve = Curve.of(scores_N, positive_N)
    if target == "f1":
        merit = 2 * curve.precision * curve.recall / np.maximum(curve.precision + curve.recall, 1e-12)
    elif target == "precision=recall":
        merit = -np.abs(curve.precision - curve.recall)
        merit[curve.recall == 0] = -np.inf  # no hit at all: 0 equals 0, and is of no use
    elif (reached := curve.precision >= min_precision).any():
        merit = np.where(reached, curve.recall, -1.0)
    else:
        merit = curve.precision
    return float(curve.threshold[merit.argmax()])


def lean(own: float, num_positives: int, group: float, prior_positives: float) -> float:
    """A tag's threshold and its group's, averaged as logits by their positives; the group has `prior_positives`."""
    if num_positives == 0 or np.isnan(own):
        return group
    share = num_positives / (num_positives + prior_positives)
    return float(_sigmoid(share * _logit(own) + (1 - share) * _logit(group)))


def _logit(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return float(np.log(p) - np.log1p(-p))


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


@dataclass(frozen=True)
class TagScores:
    """The dev scores of one tag and whether each is right; a tag of two benchmarks has those of both.

    `images` numbers the image of every score, alike for all tags.
    """

    name: str
    kind: str
    scores: np.ndarray
    positive: np.ndarray
    images: np.ndarray

    @property
    def num_positives(self) -> int:
        return int(self.positive.sum())


def pooled(tags: Sequence[TagScores], target: Target, min_precision: float) -> float:
    """One threshold for all these tags together; NaN without positives."""
    if not tags:
        return float("nan")
    scores, positive = (np.concatenate([getattr(t, f) for t in tags]) for f in ("scores", "positive"))
    return best_threshold(scores, positive, target, min_precision)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of scores before any calibration: for all tags, per kind, and per tag."""

    default: float
    kinds: Mapping[str, float]
    tags: Mapping[str, float]


def calibrate(
    tags: Sequence[TagScores], target: Target, min_precision: float, prior_positives: float, min_kind_positives: int
) -> Thresholds:
    """A threshold a tag, leaning on its kind's, or on that of all tags where its kind has few positives.

    Raises `ValueError` where no tag has a positive.
    """
    default = pooled(tags, target, min_precision)
    if np.isnan(default):
        raise ValueError("no image of split dev has a label: thresholds need some; label a dev split in the sources")
    kinds: dict[str, float] = {}
    for kind in sorted({tag.kind for tag in tags}):
        members = [tag for tag in tags if tag.kind == kind]
        enough = sum(tag.num_positives for tag in members) >= min_kind_positives
        kinds[kind] = pooled(members, target, min_precision) if enough else default
    own = {t.name: best_threshold(t.scores, t.positive, target, min_precision) for t in tags}
    leaning = {t.name: lean(own[t.name], t.num_positives, kinds[t.kind], prior_positives) for t in tags}
    return Thresholds(default, kinds, leaning)
