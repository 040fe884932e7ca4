"""Average precision, for the evaluation inside the loop."""

# N images, K tags

from __future__ import annotations

import numpy as np


def average_precision(scores_N: np.ndarray, positive_N: np.ndarray) -> float:
    """Non-interpolated average precision in [0, 1]: the mean precision at the positives; NaN where there are none.

    Images of equal score count together, so that the value does not hang on the order they come in (the same as
    scikit-learn's `average_precision_score`).
    """
    positive = np.asarray(positive_N, dtype=bool)
    num_positives = int(positive.sum())
    if not num_positives:
        return float("nan")
    order = np.argsort(-np.asarray(scores_N, dtype=np.float64), kind="stable")
    ranked, hits = np.asarray(scores_N)[order], positive[order].cumsum()
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    hits_at_end, seen_at_end = hits[last_of_tie], np.flatnonzero(last_of_tie) + 1
    new_hits = np.diff(hits_at_end, prepend=0)
    return float((hits_at_end / seen_at_end * new_hits).sum() / num_positives)


def average_precisions(
    scores_NK: np.ndarray, positive_NK: np.ndarray, known_NK: np.ndarray | None = None
) -> np.ndarray:
    """(K,): every tag's, over the images for which it is known (None: all)."""
    known_NK = np.ones(scores_NK.shape, bool) if known_NK is None else known_NK
    columns = zip(scores_NK.T, positive_NK.T, known_NK.T, strict=True)
    return np.array([average_precision(scores[known], positive[known]) for scores, positive, known in columns])


def mean_average_precision(scores_NK: np.ndarray, positive_NK: np.ndarray, known_NK: np.ndarray | None = None) -> float:
    """Mean of the average precisions of the tags that have positives; NaN where none has."""
    values = average_precisions(scores_NK, positive_NK, known_NK)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
