"""Average precision over many tags at once, by weight of image, and its confidence interval.

The values are those of scikit-learn's `average_precision_score`: non-interpolated, images of equal
score counted together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# N images, K tags

_CELLS_AT_ONCE = 4_000_000  # of scores_NK sorted together: bounds memory


@dataclass(frozen=True)
class Ranking:
    """Scores of tags sorted once: average precision under any weights of the images is then a few cumulative sums."""

    order_NK: np.ndarray  # image at each rank, the highest score first
    positive_NK: np.ndarray  # bool, by rank
    end_NK: np.ndarray  # the last rank with this rank's score

    @classmethod
    def of(cls, scores_NK: np.ndarray, positive_NK: np.ndarray) -> Ranking:
        """Raises `ValueError` for a score that is no number: it has no rank."""
        if np.isnan(scores_NK).any():
            raise ValueError(f"{int(np.isnan(scores_NK).sum())} scores are NaN; the model that gave them is broken")
        num = len(scores_NK)
        order = np.argsort(-scores_NK, axis=0, kind="stable")
        ranked = np.take_along_axis(scores_NK, order, axis=0)
        ends_tie = np.ones(ranked.shape, dtype=bool)
        ends_tie[:-1] = ranked[1:] != ranked[:-1]
        end = np.where(ends_tie, np.arange(num)[:, None], num)
        end = np.minimum.accumulate(end[::-1], axis=0)[::-1]
        return cls(order, np.take_along_axis(positive_NK.astype(bool), order, axis=0), end)

    def average_precision(self, weight_N: np.ndarray | None = None) -> np.ndarray:
        """Average precision per tag in 0 … 1, float64; NaN for a tag without positives (of weight above 0)."""
        if not len(self.order_NK):
            return np.full(self.order_NK.shape[1], np.nan)
        weight_NK = np.ones(self.order_NK.shape) if weight_N is None else weight_N.astype(np.float64)[self.order_NK]
        hit_NK = weight_NK * self.positive_NK
        num_hits_NK = np.take_along_axis(hit_NK.cumsum(axis=0), self.end_NK, axis=0)
        num_seen_NK = np.take_along_axis(weight_NK.cumsum(axis=0), self.end_NK, axis=0)
        precision_NK = np.divide(num_hits_NK, num_seen_NK, out=np.zeros_like(num_hits_NK), where=num_seen_NK > 0)
        num_positives_K = hit_NK.sum(axis=0)
        total_K = (hit_NK * precision_NK).sum(axis=0)
        return np.divide(total_K, num_positives_K, out=np.full(len(total_K), np.nan), where=num_positives_K > 0)


def average_precisions(
    scores_NK: np.ndarray, positive_NK: np.ndarray, num_bootstrap: int = 0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision per tag (K,), and under `num_bootstrap` resamples of the images (num_bootstrap, K).

    NaN where a tag has no positives. Tags are taken a few at a time, so memory does not grow with K.
    """
    num, num_tags = scores_NK.shape
    generator = np.random.default_rng(seed)
    weights = [
        np.bincount(generator.integers(num, size=num), minlength=num) for _ in range(num_bootstrap if num else 0)
    ]
    values = np.full(num_tags, np.nan)
    resampled = np.full((len(weights), num_tags), np.nan)
    step = max(_CELLS_AT_ONCE // max(num, 1), 1)
    for start in range(0, num_tags, step):
        tags = slice(start, start + step)
        ranking = Ranking.of(scores_NK[:, tags], positive_NK[:, tags])
        values[tags] = ranking.average_precision()
        for draw, weight_N in enumerate(weights):
            resampled[draw, tags] = ranking.average_precision(weight_N)
    return values, resampled


def micro_average_precision(scores_NK: np.ndarray, positive_NK: np.ndarray) -> float:
    """Average precision of all (image, tag) pairs in one ranking; NaN without any positive."""
    ranking = Ranking.of(scores_NK.reshape(-1, 1), positive_NK.reshape(-1, 1))
    return float(ranking.average_precision()[0])


def mean_of(values_K: np.ndarray, chosen_K: np.ndarray | None = None) -> float | None:
    """Mean over the (chosen) tags that have a value; None where none has."""
    chosen = ~np.isnan(values_K) if chosen_K is None else chosen_K & ~np.isnan(values_K)
    return float(values_K[chosen].mean()) if chosen.any() else None


def interval(estimate: float | None, resampled_RK: np.ndarray, level: float = 0.95) -> list[float] | None:
    """Bootstrap interval of mAP from average precisions by resample; None without any.

    Resamples repeat images, which raises the average precision of rare tags: their mean lies above the estimate. So
    their quantiles are moved onto it: the interval says how much other images would change the value. A tag that a
    resample left without positives does not count in that resample.
    """
    means = [mean for row in resampled_RK if (mean := mean_of(row)) is not None]
    if estimate is None or not means:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail]) - np.mean(means) + estimate
    return [float(np.clip(low, 0, estimate)), float(np.clip(high, estimate, 1))]
