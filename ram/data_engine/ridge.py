"""Ridge regressions that have not seen the image they judge: one a fold, fitted on the other folds in closed form.

One pass over the images, and no memory but the folds' second moments, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

# B images, D feature width, T targets, F folds

# Of the chosen images: sum_T of their targets, and product_DT, their features' transpose times their targets.
Sums = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class HeldOutRidge:
    """weight_FDT, mean_FD and target_mean_FT: of every fold, from all other folds."""

    def __init__(self, weight_FDT: np.ndarray, mean_FD: np.ndarray, target_mean_FT: np.ndarray) -> None:
        self.weight_FDT, self.mean_FD, self.target_mean_FT = weight_FDT, mean_FD, target_mean_FT

    @property
    def num_targets(self) -> int:
        return int(self.weight_FDT.shape[2])

    def __call__(self, feature_BD: np.ndarray, fold_B: np.ndarray) -> np.ndarray:
        """How far each target is expected from its mean, (B, T) float32: by the fold that did not see the image.

        A fold of -1 is an image that no fold saw: the mean of all of them.
        """
        value_BT = np.empty((len(feature_BD), self.num_targets), dtype=np.float32)
        for fold in np.unique(fold_B):
            mine = fold_B == fold
            if fold >= 0:
                value_BT[mine] = (feature_BD[mine] - self.mean_FD[fold]) @ self.weight_FDT[fold]
            else:
                every = zip(self.mean_FD, self.weight_FDT, strict=True)
                value_BT[mine] = sum((feature_BD[mine] - m) @ w for m, w in every) / len(self.mean_FD)
        return value_BT


def fit_held_out(
    batches: Iterable[tuple[np.ndarray, np.ndarray, Sums]], num_folds: int, num_targets: int, ridge: float
) -> HeldOutRidge:
    """The regressions from batches of feature_BD, fold_B and the sums of the targets; `ridge` in shares of the
    features' variance. `ValueError` where there are no images."""
    moments: list[_Moments] = []
    for feature_BD, fold_B, sums in batches:
        moments = moments or [_Moments(feature_BD.shape[1], num_targets) for _ in range(num_folds)]
        for fold, moment in enumerate(moments):
            moment.add(feature_BD, fold_B == fold, sums)
    if not moments:
        raise ValueError("there are no images to fit a probe on; give the pipeline a source of split train")
    weights, means, target_means = [], [], []
    for held_out in range(num_folds):
        others = [moment for fold, moment in enumerate(moments) if fold != held_out]
        count = max(sum(m.count for m in others), 1)
        mean_D = sum(m.sum_D for m in others) / count
        covariance_DD = sum(m.square_DD for m in others) / count - np.outer(mean_D, mean_D)
        target_mean_T = sum(m.sum_T for m in others) / count
        covariance_DT = sum(m.product_DT for m in others) / count - np.outer(mean_D, target_mean_T)
        penalty_D = ridge * np.diag(covariance_DD) + 1e-9
        weights.append(np.linalg.solve(covariance_DD + np.diag(penalty_D), covariance_DT))
        means.append(mean_D)
        target_means.append(target_mean_T)
    return HeldOutRidge(*(np.stack(values).astype(np.float32) for values in (weights, means, target_means)))


class _Moments:
    """Sums over the images of one fold."""

    def __init__(self, width: int, num_targets: int) -> None:
        self.count = 0
        self.sum_D = np.zeros(width)
        self.square_DD = np.zeros((width, width))
        self.sum_T = np.zeros(num_targets)
        self.product_DT = np.zeros((width, num_targets))

    def add(self, feature_BD: np.ndarray, chosen_B: np.ndarray, sums: Sums) -> None:
        chosen_CD = feature_BD[chosen_B].astype(np.float64)
        self.count += len(chosen_CD)
        self.sum_D += chosen_CD.sum(0)
        self.square_DD += chosen_CD.T @ chosen_CD
        sum_T, product_DT = sums(chosen_B)
        self.sum_T += sum_T
        self.product_DT += product_DT


class TwoCurves:
    """Sums of two groups of scores, target by target, for log-likelihood ratios: two normal curves of one width."""

    def __init__(self, num_targets: int) -> None:
        self.count_2T, self.sum_2T, self.squares_2T = (np.zeros((2, num_targets)) for _ in range(3))

    def slope_and_center(self, prior_weight: float) -> tuple[np.ndarray, np.ndarray]:
        """The log-likelihood ratio of a score is slope × (score − center): group 1 against group 0.

        Few scores may be in group 1: their spread is shrunk to that of group 0 by `prior_weight` scores, and the slope to 0.
        """
        mean_2T = self.sum_2T / np.maximum(self.count_2T, 1)
        variance_2T = np.maximum(self.squares_2T / np.maximum(self.count_2T, 1) - mean_2T**2, 0)
        without_T, with_T = variance_2T
        with_T = (with_T * self.count_2T[1] + without_T * prior_weight) / (self.count_2T[1] + prior_weight)
        width_T = np.maximum((with_T + without_T) / 2, 1e-12)
        certainty_T = self.count_2T[1] / (self.count_2T[1] + prior_weight)
        slope_T = np.where(self.count_2T[1] > 0, (mean_2T[1] - mean_2T[0]) / width_T * certainty_T, 0.0)
        return slope_T, mean_2T.mean(0)
