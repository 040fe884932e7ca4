"""Confident learning (Northcutt et al., arXiv 1911.00068): rows whose tag a held-out model contradicts confidently.

For one tag it is a question of two labels, and every label-quality score of that paper's library orders the rows of the
tag as the held-out probability p does. What the method adds is where confidence begins: a row with the tag counts as
wrong where 1 - p reaches the mean of 1 - p over the images without the tag. Those images have no region and no row,
but the probe's evidence is measured from the middle between images with and without the tag, with one spread for both:
at even odds the images without the tag mirror those with it, so that mean is the mean of p over the rows with it.
"""

from __future__ import annotations

import numpy as np

# N rows of one tag


def score_rows(evidence_N: np.ndarray, trusted_N: np.ndarray) -> np.ndarray:
    """Per row, from held-out evidence in log odds: above 0.5 where confident learning calls the tag wrong.

    `trusted_N` marks the rows that the probe learned from; all NaN where there are none.
    """
    if not trusted_N.any():
        return np.full(len(evidence_N), np.nan)
    confident = max(_sigmoid(evidence_N[trusted_N]).mean(), 0.5)  # below even odds the likelier label counts
    bar = np.log(confident) - np.log1p(-min(confident, 1 - 1e-9))
    return _sigmoid(-evidence_N - bar)


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(odds.astype(np.float64), -50, 50)))
