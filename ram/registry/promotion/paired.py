"""Two models on the same test images: how much better, and how sure that is.

Both are scored on the same resamples of the images, so that what makes a resample easy or hard cancels out of their
difference: it is known far better than either mAP (Efron & Tibshirani 1993, ch. 16).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from ram.evaluation.average_precision import average_precisions, mean_of
from ram.io.tables import Table, read_json
from ram.pipeline.catalog import artifact

# N images, K names, R resamples

NAMES_FILE, SCORES_DIR = "names.json", "test_scores"
CONFIDENCE_OF_DROPS = 0.95  # where the parameter `confidence` is null


@dataclass(frozen=True)
class ImageScores:
    """A model's scores of a benchmark's names on its test images, with the labels."""

    names: list[str]
    kinds: list[str]  # of the tag that a name means; "no tag" where it means none
    image_ids: list[str]
    scores_NK: np.ndarray
    positive_NK: np.ndarray

    @classmethod
    def read(cls, evidence: Path, benchmark: str) -> ImageScores:
        """Of an evidence folder (`ram.registry.promotion.evidence`); `ValueError` where it has no such benchmark."""
        listed = read_json(evidence / NAMES_FILE)
        if benchmark not in listed:
            raise ValueError(f"no test scores of benchmark {benchmark!r}; there are some of: {', '.join(listed)}")
        schema = artifact("test_scores").schema
        assert schema is not None
        rows = Table(evidence / SCORES_DIR, schema).read(filters=pc.field("benchmark") == benchmark)
        names = list(listed[benchmark]["names"])
        shape = (rows.num_rows, len(names))
        scores, positive = (
            rows[column].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(shape)
            for column in ("scores", "positive")
        )
        return cls(names, list(listed[benchmark]["kinds"]), rows["image_id"].to_pylist(), scores, positive)

    def aligned_to(self, other: ImageScores) -> ImageScores:
        """The same with images and names in the order of `other`; `ValueError` where they are not the same."""
        rows = pd.Index(self.image_ids).get_indexer(pd.Index(other.image_ids))
        columns = pd.Index(self.names).get_indexer(pd.Index(other.names))
        same = self.scores_NK.shape == other.scores_NK.shape and (rows >= 0).all() and (columns >= 0).all()
        aligned = ImageScores(
            other.names,
            other.kinds,
            other.image_ids,
            self.scores_NK[np.ix_(rows, columns)],
            self.positive_NK[np.ix_(rows, columns)],
        )
        if not same or not np.array_equal(aligned.positive_NK, other.positive_NK):
            raise ValueError("the two models were scored on other images or labels; score both on the same")
        return aligned


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one number: `high` is the most that its change may be, at the confidence asked for."""

    before: float
    after: float
    high: float

    @property
    def change(self) -> float:
        return self.after - self.before

    def fell(self, margin: float) -> bool:
        """By more than `margin`, and not by the chance of these images."""
        return self.change < -margin and self.high < 0


@dataclass(frozen=True)
class Comparison:
    """The challenger against the champion. `low`: the gain of mAP is above it, at the confidence asked for."""

    gain: float
    low: float
    share_better: float  # of the resamples
    num_images: int
    kinds: dict[str, Change]
    tags: dict[str, Change]  # those with enough positives


def compare(
    challenger: ImageScores,
    champion: ImageScores,
    confidence: float | None,
    num_bootstrap: int,
    min_tag_positives: int,
    seed: int = 0,
) -> Comparison:
    """mAP, kinds and frequent tags of both; bounds are one-sided. `ValueError` where they cannot be compared."""
    champion = champion.aligned_to(challenger)
    level = CONFIDENCE_OF_DROPS if confidence is None else confidence
    after_K, after_RK = average_precisions(challenger.scores_NK, challenger.positive_NK, num_bootstrap, seed)
    before_K, before_RK = average_precisions(champion.scores_NK, champion.positive_NK, num_bootstrap, seed)
    known_K = ~np.isnan(after_K)
    if not known_K.any():
        raise ValueError("no name has a positive on the test images; nothing can be compared")
    change_RK = after_RK - before_RK

    def change(chosen_K: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean change of these names, and by resample, moved onto it as `interval` does."""
        value = float((after_K - before_K)[chosen_K].mean())
        means = [mean for row in change_RK if (mean := mean_of(row, chosen_K)) is not None]
        return value, np.asarray(means) - np.mean(means) + value

    def told(chosen_K: np.ndarray) -> Change:
        _, resampled_R = change(chosen_K)
        high = float(np.quantile(resampled_R, level))
        return Change(float(before_K[chosen_K].mean()), float(after_K[chosen_K].mean()), high)

    gain, resampled_R = change(known_K)
    kinds = np.array(challenger.kinds, dtype=object)
    frequent_K = known_K & (challenger.positive_NK.sum(axis=0) >= min_tag_positives)
    groups = {str(kind): (kinds == kind) & known_K for kind in sorted(set(kinds[known_K]))}
    one_K = np.eye(len(kinds), dtype=bool)
    return Comparison(
        gain=gain,
        low=float(np.quantile(resampled_R, 1 - level)),
        share_better=float((resampled_R > 0).mean()),
        num_images=len(challenger.image_ids),
        kinds={kind: told(chosen_K) for kind, chosen_K in groups.items()},
        tags={challenger.names[k]: told(one_K[k]) for k in np.flatnonzero(frequent_K)},
    )
