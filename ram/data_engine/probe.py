"""A linear probe that has not seen the picture it judges: how much does the picture look like those of a tag?

The preliminary model was trained on the very tags that are to be checked, and has learned some of the wrong ones by
heart. The probe is a ridge regression from a summary of the image tokens to all tags at once, fitted on the other
folds: closed form, two passes, and no memory but the folds' second moments. Held-out scores as witnesses of label errors are
the idea of confident learning (Northcutt et al., arXiv 1911.00068).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# B images, R rows (one (image, tag) each), F folds, K tags, D token width

# What it learns a tag from: what somebody said, not what the model itself added.
TRUSTED_ORIGINS = ("human", "caption", "implied")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeParams:
    num_folds: int
    ridge: float  # penalty, in shares of the features' own variance
    prior_weight: float  # images that the tags' pooled spread weighs in the spread of one

    def __post_init__(self) -> None:
        if self.num_folds < 2:
            raise ValueError(f"num_folds must be 2 or more, got {self.num_folds}")
        if self.ridge <= 0 or self.prior_weight <= 0:
            raise ValueError(f"ridge and prior_weight must be above 0, got {self.ridge}, {self.prior_weight}")


@dataclass(frozen=True)
class Batch:
    """Some pictures: their features, their folds, and their trusted tags as positions in the batch and tag ids."""

    feature_BD: np.ndarray
    fold_B: np.ndarray
    picture_R: np.ndarray
    tag_R: np.ndarray


class Probe:
    """Fitted by `fit`; `evidence` gives log-likelihood ratios."""

    def __init__(self, weight_FDK: np.ndarray, mean_FD: np.ndarray) -> None:
        self._weight_FDK, self._mean_FD = weight_FDK, mean_FD
        num_tags = weight_FDK.shape[2]
        self._centre_K = np.zeros(num_tags)
        self._slope_K = np.zeros(num_tags)

    def _scores(self, feature_BD: np.ndarray, fold_B: np.ndarray) -> np.ndarray:
        score_BK = np.empty((len(feature_BD), self._weight_FDK.shape[2]), dtype=np.float32)
        for fold in np.unique(fold_B):
            mine = fold_B == fold
            score_BK[mine] = (feature_BD[mine] - self._mean_FD[fold]) @ self._weight_FDK[fold]
        return score_BK

    def calibrate(self, batches: Iterable[Batch], prior_weight: float) -> None:
        """Turn held-out scores into evidence: pictures with and without a tag as two normal curves of one width."""
        num_tags = self._weight_FDK.shape[2]
        count_2K, sum_2K, squares_2K = (np.zeros((2, num_tags)) for _ in range(3))  # all pictures, those with the tag
        for batch in batches:
            score_BK = self._scores(batch.feature_BD, batch.fold_B)
            own_R = score_BK[batch.picture_R, batch.tag_R].astype(np.float64)
            count_2K[0] += len(score_BK)
            sum_2K[0] += score_BK.sum(0, dtype=np.float64)
            squares_2K[0] += np.square(score_BK).sum(0, dtype=np.float64)
            for total_2K, values_R in ((count_2K, None), (sum_2K, own_R), (squares_2K, own_R**2)):
                total_2K[1] += np.bincount(batch.tag_R, values_R, minlength=num_tags)
        count_2K[0], sum_2K[0], squares_2K[0] = (t[0] - t[1] for t in (count_2K, sum_2K, squares_2K))
        mean_2K = sum_2K / np.maximum(count_2K, 1)
        variance_2K = np.maximum(squares_2K / np.maximum(count_2K, 1) - mean_2K**2, 0)
        without_K, with_K = variance_2K
        # Few pictures have a rare tag: their spread is shrunk to that of the others, and the evidence to none.
        with_K = (with_K * count_2K[1] + without_K * prior_weight) / (count_2K[1] + prior_weight)
        width_K = np.maximum((with_K + without_K) / 2, 1e-12)
        certainty_K = count_2K[1] / (count_2K[1] + prior_weight)
        self._centre_K = mean_2K.mean(0)
        self._slope_K = np.where(count_2K[1] > 0, (mean_2K[1] - mean_2K[0]) / width_K * certainty_K, 0.0)

    def evidence(
        self, feature_BD: np.ndarray, fold_B: np.ndarray, picture_R: np.ndarray, tag_R: np.ndarray
    ) -> np.ndarray:
        """Natural log of how much likelier each row's picture is among pictures with the tag than among others."""
        score_R = self._scores(feature_BD, fold_B)[picture_R, tag_R]
        return ((score_R - self._centre_K[tag_R]) * self._slope_K[tag_R]).astype(np.float32)


def fit(batches: Iterable[Batch], num_tags: int, params: ProbeParams) -> Probe:
    """The weights of every fold, from all other folds; in float64."""
    moments: list[_Moments] | None = None
    for batch in batches:
        if moments is None:
            moments = [_Moments(batch.feature_BD.shape[1], num_tags) for _ in range(params.num_folds)]
        for fold, moment in enumerate(moments):
            moment.add(batch, batch.fold_B == fold)
    assert moments is not None, "no pictures"
    weights, means = [], []
    for held_out in range(params.num_folds):
        others = [moment for fold, moment in enumerate(moments) if fold != held_out]
        count = max(sum(m.count for m in others), 1)
        mean_D = sum(m.sum_D for m in others) / count
        covariance_DD = sum(m.square_DD for m in others) / count - np.outer(mean_D, mean_D)
        share_K = sum(m.tags_K for m in others) / count
        covariance_DK = sum(m.product_DK for m in others) / count - np.outer(mean_D, share_K)
        penalty_D = params.ridge * np.diag(covariance_DD) + 1e-9
        weights.append(np.linalg.solve(covariance_DD + np.diag(penalty_D), covariance_DK))
        means.append(mean_D)
    return Probe(np.stack(weights).astype(np.float32), np.stack(means).astype(np.float32))


class _Moments:
    """Sums over the pictures of one fold."""

    def __init__(self, width: int, num_tags: int) -> None:
        self.count = 0
        self.sum_D = np.zeros(width)
        self.square_DD = np.zeros((width, width))
        self.tags_K = np.zeros(num_tags)
        self.product_DK = np.zeros((width, num_tags))

    def add(self, batch: Batch, chosen_B: np.ndarray) -> None:
        feature_BD = batch.feature_BD[chosen_B].astype(np.float64)
        self.count += len(feature_BD)
        self.sum_D += feature_BD.sum(0)
        self.square_DD += feature_BD.T @ feature_BD
        rows = chosen_B[batch.picture_R]
        tag_R, picture_R = batch.tag_R[rows], batch.picture_R[rows]
        self.tags_K += np.bincount(tag_R, minlength=len(self.tags_K))
        order = np.argsort(tag_R, kind="stable")
        present, starts = np.unique(tag_R[order], return_index=True)
        if len(present):
            sums = np.add.reduceat(batch.feature_BD[picture_R[order]].astype(np.float64), starts, axis=0)
            self.product_DK[:, present] += sums.T
