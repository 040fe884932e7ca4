"""Does a caption belong to its image at all? Held-out evidence from what captions of such images say.

A ridge regression expects the text embedding of an image's captions from the image. How close a caption comes to what is
expected, against captions of other images, is the evidence. It sees the whole sentence where the tags' probe sees a
tag at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ram.data_engine.probe import ProbeParams
from ram.data_engine.ridge import HeldOutRidge, TwoCurves, fit_held_out

# B images, C captions, D feature width, E text embedding width


@dataclass(frozen=True)
class CaptionBatch:
    """Some images: features, folds (-1: in none, it was not fitted on), and their captions: the position of each
    one's image, which ascends, and its text embedding of length 1."""

    feature_BD: np.ndarray
    fold_B: np.ndarray
    image_C: np.ndarray
    embedding_CE: np.ndarray

    def __post_init__(self) -> None:
        if (np.diff(self.image_C) < 0).any():
            raise ValueError("the captions of an image must stand together, in the order of the images")


class CaptionProbe:
    """Fitted by `fit_captions`; `evidence` gives log-likelihood ratios."""

    def __init__(self, ridge: HeldOutRidge) -> None:
        self._ridge = ridge
        self._slope, self._center = 0.0, 0.0

    def similarity(self, batch: CaptionBatch) -> np.ndarray:
        """cosine_C between what is expected of the image and what the caption says, both less the average caption."""
        return self._cosine(self._expected(batch), batch, batch.image_C)

    def calibrate(self, batches: Iterable[CaptionBatch], prior_weight: float) -> None:
        """Turn similarities into evidence: an image's own captions and those of another one as two normal curves.

        The other image is the batch's next one of the same fold.
        """
        curves = TwoCurves(1)
        for batch in batches:
            expected_BE = self._expected(batch)
            next_B = _next_of_fold(batch.fold_B)
            other_C = next_B[batch.image_C]
            for group, image_C in ((1, batch.image_C), (0, other_C)):
                cosine_C = self._cosine(expected_BE, batch, image_C)[other_C >= 0].astype(np.float64)
                curves.count_2T[group] += len(cosine_C)
                curves.sum_2T[group] += cosine_C.sum()
                curves.squares_2T[group] += np.square(cosine_C).sum()
        slope_1, center_1 = curves.slope_and_center(prior_weight)
        self._slope, self._center = float(slope_1[0]), float(center_1[0])

    def evidence(self, batch: CaptionBatch) -> np.ndarray:
        """Natural log of how much likelier each caption is its image's than another one's, (C,) float32."""
        return (self._slope * (self.similarity(batch) - self._center)).astype(np.float32)

    def _expected(self, batch: CaptionBatch) -> np.ndarray:
        expected_BE = self._ridge(batch.feature_BD, batch.fold_B)
        return expected_BE / np.linalg.norm(expected_BE, axis=1, keepdims=True).clip(min=1e-12)

    def _cosine(self, expected_BE: np.ndarray, batch: CaptionBatch, image_C: np.ndarray) -> np.ndarray:
        mean_FE = np.concatenate([self._ridge.target_mean_FT, self._ridge.target_mean_FT.mean(0, keepdims=True)])
        said_CE = batch.embedding_CE - mean_FE[batch.fold_B[batch.image_C]]  # fold -1: the last, the mean of all
        said_CE = said_CE / np.linalg.norm(said_CE, axis=1, keepdims=True).clip(min=1e-12)
        return np.einsum("ce,ce->c", expected_BE[image_C], said_CE)


def fit_captions(batches: Iterable[CaptionBatch], embedding_width: int, params: ProbeParams) -> CaptionProbe:
    """The regressions; an image's target is the mean of its captions' embeddings, and one without captions is left out."""

    def captioned() -> Iterable[tuple[np.ndarray, np.ndarray, partial[tuple[np.ndarray, np.ndarray]]]]:
        for batch in batches:
            has = np.unique(batch.image_C)
            if len(has):
                feature_BD = batch.feature_BD[has]
                starts = np.searchsorted(batch.image_C, has)
                counts = np.diff(np.append(starts, len(batch.image_C)))[:, None]
                mean_BE = np.add.reduceat(batch.embedding_CE.astype(np.float64), starts, axis=0) / counts
                yield feature_BD, batch.fold_B[has], partial(_sums, feature_BD, mean_BE)

    return CaptionProbe(fit_held_out(captioned(), params.num_folds, embedding_width, params.ridge))


def _sums(feature_BD: np.ndarray, target_BE: np.ndarray, chosen_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return target_BE[chosen_B].sum(0), feature_BD[chosen_B].astype(np.float64).T @ target_BE[chosen_B]


def _next_of_fold(fold_B: np.ndarray) -> np.ndarray:
    """For every image the next one of its fold, around the end; -1 where it is alone in it."""
    next_B = np.full(len(fold_B), -1)
    for fold in np.unique(fold_B):
        mine = np.flatnonzero(fold_B == fold)
        if len(mine) > 1:
            next_B[mine] = np.roll(mine, -1)
    return next_B
