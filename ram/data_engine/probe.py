"""A linear probe that has not seen the image it judges: how much does the image look like those of a tag?

The preliminary model was trained on the very tags that are to be checked, and has learned some of the wrong ones by
heart. The probe is a ridge regression from a summary of the image tokens to all tags at once, fitted on the other
folds: closed form, two passes, and no memory but the folds' second moments. Held-out scores as witnesses of label errors are
the idea of confident learning (Northcutt et al., arXiv 1911.00068).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ram.data_engine.ridge import HeldOutRidge, TwoCurves, fit_held_out

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
    """Some images: their features, their folds, and their trusted tags as positions in the batch and tag ids."""

    feature_BD: np.ndarray
    fold_B: np.ndarray
    image_R: np.ndarray
    tag_R: np.ndarray


class Probe:
    """Fitted by `fit`; `evidence` gives log-likelihood ratios."""

    def __init__(self, ridge: HeldOutRidge) -> None:
        self._ridge = ridge
        self._slope_K = np.zeros(ridge.num_targets)
        self._center_K = np.zeros(ridge.num_targets)

    def calibrate(self, batches: Iterable[Batch], prior_weight: float) -> None:
        """Turn held-out scores into evidence: images with and without a tag as two normal curves of one width."""
        num_tags = self._ridge.num_targets
        curves = TwoCurves(num_tags)
        for batch in batches:
            score_BK = self._ridge(batch.feature_BD, batch.fold_B)
            own_R = score_BK[batch.image_R, batch.tag_R].astype(np.float64)
            curves.count_2T[0] += len(score_BK)
            curves.sum_2T[0] += score_BK.sum(0, dtype=np.float64)
            curves.squares_2T[0] += np.square(score_BK).sum(0, dtype=np.float64)
            totals = (curves.count_2T, curves.sum_2T, curves.squares_2T)
            for total_2K, values_R in zip(totals, (None, own_R, own_R**2), strict=True):
                total_2K[1] += np.bincount(batch.tag_R, values_R, minlength=num_tags)
        for total_2K in (curves.count_2T, curves.sum_2T, curves.squares_2T):
            total_2K[0] -= total_2K[1]
        self._slope_K, self._center_K = curves.slope_and_center(prior_weight)

    def evidence(
        self, feature_BD: np.ndarray, fold_B: np.ndarray, image_R: np.ndarray, tag_R: np.ndarray
    ) -> np.ndarray:
        """Natural log of how much likelier each row's image is among images with the tag than among others."""
        score_R = self._ridge(feature_BD, fold_B)[image_R, tag_R]
        return ((score_R - self._center_K[tag_R]) * self._slope_K[tag_R]).astype(np.float32)


def fit(batches: Iterable[Batch], num_tags: int, params: ProbeParams) -> Probe:
    """The weights of every fold, from all other folds; in float64."""
    sums = ((batch.feature_BD, batch.fold_B, partial(_tag_sums, batch, num_tags)) for batch in batches)
    return Probe(fit_held_out(sums, params.num_folds, num_tags, params.ridge))


def _tag_sums(batch: Batch, num_tags: int, chosen_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = chosen_B[batch.image_R]
    tag_R, image_R = batch.tag_R[rows], batch.image_R[rows]
    product_DK = np.zeros((batch.feature_BD.shape[1], num_tags))
    order = np.argsort(tag_R, kind="stable")
    present, starts = np.unique(tag_R[order], return_index=True)
    if len(present):
        sums = np.add.reduceat(batch.feature_BD[image_R[order]].astype(np.float64), starts, axis=0)
        product_DK[:, present] = sums.T
    return np.bincount(tag_R, minlength=num_tags), product_DK
