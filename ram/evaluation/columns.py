"""Metrics of many tags over many images, some columns at a time: memory is that of a block, not of the matrix.

Average precision needs no ranking of all images: only, for every positive, how many images score at least as much.
So a column is counted or sorted once, and no permutation is ever made. Values are scikit-learn's, ties included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# N images, K tags, k tags of a block, P positives, R resamples

POSITIVE, NEGATIVE, UNKNOWN = 1, 0, -1
Targets = Callable[[int, int], np.ndarray]  # (first, last) tag -> target_Nk, int8: POSITIVE, NEGATIVE or UNKNOWN

_CELLS_AT_ONCE = 16_000_000  # of a block: 64 MB of float32, a few times over
_FEW = 24  # positives: up to so many, comparing is faster than sorting


@dataclass(frozen=True)
class TagMetrics:
    """Metrics per tag, each (K,), and over all decisions together. Unknown labels count nowhere.

    `average_precision`, `precision`, `recall` and `f1` are NaN for a tag without positives, and precision is 0 where
    a tag is never predicted. `micro_*` count the tags with positives alone; they are None where none has any.
    """

    average_precision: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    num_positives: np.ndarray
    num_known: np.ndarray
    num_predicted: np.ndarray
    micro_average_precision: float | None
    micro_precision: float | None
    micro_recall: float | None
    micro_f1: float | None


def targets_of(labels_NK: np.ndarray) -> Targets:
    """Targets held in memory: bool, or int8 with UNKNOWN."""
    return lambda first, last: labels_NK[:, first:last].astype(np.int8, copy=False)


def tag_metrics(scores_NK: Any, targets: Targets, threshold_K: np.ndarray, *, micro: bool = True) -> TagMetrics:
    """Metrics of scores (an array or a memory map of any float type), at a threshold a tag: at or over it is a yes.

    `micro` off leaves out the ranking of all pairs, half of the time. `ValueError` for a score that is no number.
    """
    num_tags = scores_NK.shape[1]
    values = np.full(num_tags, np.nan)
    counts = np.zeros((4, num_tags), dtype=np.int64)  # positives, known, predicted, hits
    found: list[np.ndarray] = []
    for first, score_kN, target_kN in _blocks(scores_NK, targets):
        predicted_kN = score_kN >= threshold_K[first : first + len(score_kN), None].astype(np.float64)
        for row, (score_N, target_N) in enumerate(zip(score_kN, target_kN, strict=True)):
            positive_N, known_N = target_N == POSITIVE, target_N != UNKNOWN
            counts[:, first + row] = (
                np.count_nonzero(positive_N),
                np.count_nonzero(known_N),
                np.count_nonzero(predicted_kN[row] & known_N),
                np.count_nonzero(predicted_kN[row] & positive_N),
            )
            if counts[0, first + row]:
                hits_P = np.sort(score_N[positive_N])
                every = score_N if counts[1, first + row] == len(score_N) else score_N[known_N]
                values[first + row] = _average_precision(every, hits_P)
                found.append(hits_P)
    micro_value = _micro(scores_NK, targets, found, counts[0] > 0) if micro and found else None
    return _metrics(values, counts, micro_value)


def _metrics(values: np.ndarray, counts: np.ndarray, micro_value: float | None) -> TagMetrics:
    num_positives, num_known, num_predicted, num_hits = counts
    judged = num_positives > 0
    precision, recall, f1 = (
        np.where(judged, part, np.nan) for part in _precision_recall_f1(num_hits, num_predicted, num_positives)
    )
    totals = _precision_recall_f1(*(part[judged].sum() for part in (num_hits, num_predicted, num_positives)))
    over_all = [float(part) if judged.any() else None for part in totals]
    return TagMetrics(values, precision, recall, f1, num_positives, num_known, num_predicted, micro_value, *over_all)


def _precision_recall_f1(hits: Any, predicted: Any, positives: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The numerator is 0 wherever a denominator is, so any number above 0 will do for it.
    return tuple(  # type: ignore[return-value]
        np.asarray(numerator) / np.where(np.asarray(denominator) > 0, denominator, 1)
        for numerator, denominator in ((hits, predicted), (hits, positives), (2 * hits, predicted + positives))
    )


def _average_precision(score_N: np.ndarray, hits_P: np.ndarray) -> float:
    """Of one tag; `hits_P` are the scores of its positives, ascending."""
    num_hits = len(hits_P) - np.searchsorted(hits_P, hits_P, "left")  # positives that score at least as much
    if len(hits_P) <= _FEW:
        num_seen = np.array([np.count_nonzero(score_N >= score) for score in hits_P])
    else:
        num_seen = len(score_N) - np.searchsorted(np.sort(score_N), hits_P, "left")
    return float((num_hits / num_seen).mean())


def _micro(scores_NK: Any, targets: Targets, found: list[np.ndarray], judged_K: np.ndarray) -> float:
    """Average precision of all known pairs, of tags with positives, in one ranking."""
    hits_P, count_P = np.unique(np.concatenate(found), return_counts=True)
    found.clear()
    num_hits_P = count_P[::-1].cumsum()[::-1]
    num_seen_P = np.zeros(len(hits_P), dtype=np.int64)
    for first, score_kN, target_kN in _blocks(scores_NK, targets):
        used_kN = (target_kN != UNKNOWN) & judged_K[first : first + len(score_kN), None]
        flat = score_kN.ravel() if used_kN.all() else score_kN[used_kN]
        flat.sort()
        num_seen_P += len(flat) - np.searchsorted(flat, hits_P, "left")
    return float((count_P * (num_hits_P / num_seen_P)).sum() / count_P.sum())


def _blocks(scores_NK: Any, targets: Targets) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first tag, score_kN, target_kN) of the tags, a block at a time; a tag's images lie side by side."""
    num, num_tags = scores_NK.shape
    step = max(_CELLS_AT_ONCE // max(num, 1), 1)
    for first in range(0, num_tags, step):
        last = min(first + step, num_tags)
        score_kN = np.array(scores_NK[:, first:last].T, order="C")
        if score_kN.dtype == np.float16:  # which no processor sorts
            score_kN = score_kN.astype(np.float32)
        if num_broken := int(np.isnan(score_kN).sum()):
            raise ValueError(f"{num_broken} scores are NaN; the model that gave them is broken")
        yield first, score_kN, np.ascontiguousarray(targets(first, last).T)


@dataclass(frozen=True)
class Resamples:
    """Metrics under resamples of the images, with replacement: each (R, K), NaN where a tag was left no positive."""

    average_precision: np.ndarray
    f1: np.ndarray
    micro_f1: np.ndarray  # (R,)


def resample(scores_NK: Any, targets: Targets, threshold_K: np.ndarray, num_resamples: int, seed: int) -> Resamples:
    """The same resamples for every scores of as many images: differences of two models are paired."""
    num, num_tags = scores_NK.shape
    generator = np.random.default_rng(seed)
    weight_RN = np.zeros((num_resamples, num), dtype=np.float32)
    for row in weight_RN if num else ():
        row[:] = np.bincount(generator.integers(num, size=num), minlength=num)
    values, f1 = (np.full((num_resamples, num_tags), np.nan) for _ in range(2))
    totals = np.zeros((3, num_resamples))
    for first, score_kN, target_kN in _blocks(scores_NK, targets):
        for row, (score_N, target_N) in enumerate(zip(score_kN, target_kN, strict=True)):
            known = np.flatnonzero(target_N != UNKNOWN)
            if not (target_N == POSITIVE).any():
                continue
            values[:, first + row] = _weighted(score_N[known], target_N[known] == POSITIVE, weight_RN, known)
        predicted_kN = (score_kN >= threshold_K[first : first + len(score_kN), None]) & (target_kN != UNKNOWN)
        positive_kN = target_kN == POSITIVE
        judged = positive_kN.any(axis=1)
        sums = [
            (weight_RN @ part.T.astype(np.float32)).astype(np.float64)
            for part in (predicted_kN & positive_kN, predicted_kN, positive_kN)
        ]
        last = first + len(score_kN)
        f1[:, first:last] = np.where(sums[2] > 0, _precision_recall_f1(*sums)[2], np.nan)
        totals += np.stack([part[:, judged].sum(axis=1) for part in sums])
    return Resamples(values, f1, _precision_recall_f1(*totals)[2])


def _weighted(score_M: np.ndarray, positive_M: np.ndarray, weight_RN: np.ndarray, image_M: np.ndarray) -> np.ndarray:
    """Average precision (R,) of one tag, its images counted as often as each resample has them."""
    order = np.argsort(-score_M, kind="stable")
    ranked = score_M[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last rank of every score
    with_hits = np.add.reduceat(positive_M[order], np.append(0, ends[:-1] + 1)) > 0
    # Weights are added up between one score with positives and the next; what scores less than all of them is no matter.
    cuts = ends[with_hits]
    starts = np.append(0, cuts[:-1] + 1)
    upto = order[: cuts[-1] + 1]
    weight_RM = weight_RN[:, image_M[upto]]
    seen = np.add.reduceat(weight_RM, starts, axis=1, dtype=np.float64).cumsum(axis=1)
    weight_RM *= positive_M[upto]
    hits = np.add.reduceat(weight_RM, starts, axis=1, dtype=np.float64)
    total = hits.sum(axis=1)
    precision = hits.cumsum(axis=1) / np.maximum(seen, 1)
    return np.divide((hits * precision).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)
