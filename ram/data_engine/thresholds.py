"""Per-tag thresholds for a wanted precision, from counts of labeled scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# B images, K tags, T bins of the logit, from low to high

NEVER = 2.0  # a threshold that no score reaches


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdParams:
    """When a predicted tag is taken."""

    target_precision: float  # wanted share of right tags among those that are added
    caution: float  # standard errors that the estimate must lie above the target
    min_positives: int  # fewer labeled (or caption) positives: the threshold of the tag's kind
    prior_weight: float  # labeled scores that the precision of the tag's kind weighs in its own estimate
    caption_recall: float  # share of what an image shows that its captions name already
    min_score: float  # no threshold lies under this

    def __post_init__(self) -> None:
        if not 0 < self.target_precision < 1:
            raise ValueError(f"target_precision must lie between 0 and 1, got {self.target_precision}")
        if not 0 < self.caption_recall < 1:
            raise ValueError(f"caption_recall must lie between 0 and 1, got {self.caption_recall}")
        if not 0 <= self.min_score < 1:
            raise ValueError(f"min_score must be in [0, 1), got {self.min_score}")
        if self.prior_weight <= 0 or self.caution < 0 or self.min_positives < 1:
            raise ValueError(
                "prior_weight must be above 0, caution 0 or more, min_positives 1 or more, got "
                f"{self.prior_weight}, {self.caution}, {self.min_positives}"
            )


class ScoreHistogram:
    """How many scores of every tag fell into every bin of the logit, and how many of them were right.

    Memory is tags × bins whatever the number of images.
    """

    NUM_BINS = 512
    MAX_LOGIT = 12.8

    def __init__(self, num_tags: int) -> None:
        self.totals_KT = np.zeros((num_tags, self.NUM_BINS), dtype=np.int64)
        self.positives_KT = np.zeros_like(self.totals_KT)

    @classmethod
    def edges(cls) -> np.ndarray:
        """The score at the lower edge of every bin."""
        logits_T = np.linspace(-cls.MAX_LOGIT, cls.MAX_LOGIT, cls.NUM_BINS, endpoint=False)
        return 1 / (1 + np.exp(-logits_T))

    def add(self, scores_BK: np.ndarray, positive_BK: np.ndarray, known_BK: np.ndarray | None = None) -> None:
        """Count scores (0 … 1) with their labels; those that are not known count nowhere."""
        bins_BK = np.searchsorted(self.edges(), scores_BK, side="right") - 1
        cells_BK = np.maximum(bins_BK, 0) + np.arange(scores_BK.shape[1]) * self.NUM_BINS
        known = np.ones_like(positive_BK) if known_BK is None else known_BK
        for counts_KT, chosen_BK in ((self.totals_KT, known), (self.positives_KT, known & positive_BK)):
            counts_KT += np.bincount(cells_BK[chosen_BK], minlength=counts_KT.size).reshape(counts_KT.shape)

    def add_kept(
        self,
        tag_S: np.ndarray,
        score_S: np.ndarray,
        positive_S: np.ndarray,
        num_images: int,
        num_positives_K: np.ndarray,
    ) -> None:
        """Count the kept scores of some images, of whose labels all are known.

        Those that were not kept, of which `num_positives_K` less the kept ones are positive, count as the lowest.
        """
        cells_S = np.maximum(np.searchsorted(self.edges(), score_S, side="right") - 1, 0) + tag_S * self.NUM_BINS
        rests = (np.full(len(self.totals_KT), num_images), num_positives_K)
        for counts_KT, chosen, all_K in zip(
            (self.totals_KT, self.positives_KT), (slice(None), positive_S), rests, strict=True
        ):
            counted_KT = np.bincount(cells_S[chosen], minlength=counts_KT.size).reshape(counts_KT.shape)
            counts_KT += counted_KT
            counts_KT[:, 0] += all_K - counted_KT.sum(1)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Per tag: the threshold (`NEVER` where no score is sure enough), the precision to expect there, and the basis."""

    threshold_K: np.ndarray
    precision_K: np.ndarray  # of what is added; NaN where there is no threshold
    basis: list[str]  # "labels", "captions" or "kind"

    def without(self, tag_ids: Iterable[int]) -> Thresholds:
        """The same, but that these tags are never predicted: what a benchmark holds back must not be trained on."""
        threshold_K, precision_K = self.threshold_K.copy(), self.precision_K.copy()
        for tag_id in tag_ids:
            threshold_K[tag_id], precision_K[tag_id] = NEVER, np.nan
        return Thresholds(threshold_K, precision_K, self.basis)


def precision_thresholds(
    labeled: ScoreHistogram, captioned: ScoreHistogram, kinds: Sequence[str], params: ThresholdParams
) -> Thresholds:
    """The lowest threshold of every tag at which the estimated precision of what is added reaches the target.

    Added is what the captions do not name. They name the share `caption_recall` of what is there and hardly anything of
    what is not, so the added tags hold more wrong ones than all tags above a threshold do: of `labeled`, counts of
    scores against human labels, only 1 - `caption_recall` of the right ones are counted.

    Tags with too few positives there go by `captioned`, counts of scores of training images against the tags of their
    captions: for each that is named, (1 - recall) / recall others are there that are not. The model has seen these
    images, which flatters it; hence labels come first. Each estimate is shrunk to that of the tag's kind, and
    `caution` standard errors are taken off.
    """
    enough = [h.positives_KT.sum(1) >= params.min_positives for h in (labeled, captioned)]
    right_KT, total_KT = _added_by_labels(labeled, params.caption_recall)
    captioned_right_KT, captioned_total_KT = _added_by_captions(captioned, params.caption_recall)
    # Without any labels the kinds' estimates too come from the captions.
    pooled = (right_KT, total_KT) if enough[0].any() else (captioned_right_KT, captioned_total_KT)
    prior_KT = _kind_precision(*pooled, kinds, params.prior_weight)
    by_captions = enough[1] & ~enough[0]
    neither = ~enough[0] & ~enough[1]
    right_KT = np.where(by_captions[:, None], captioned_right_KT, right_KT) * ~neither[:, None]
    total_KT = np.where(by_captions[:, None], captioned_total_KT, total_KT) * ~neither[:, None]
    weight_KT = total_KT + params.prior_weight
    precision_KT = (right_KT + params.prior_weight * prior_KT) / weight_KT
    spread_KT = np.sqrt(np.clip(precision_KT * (1 - precision_KT), 0, None) / weight_KT)
    bound_KT = precision_KT - params.caution * spread_KT
    scores_T = ScoreHistogram.edges()
    reached_KT = (bound_KT >= params.target_precision) & (scores_T >= params.min_score)
    first_K = reached_KT.argmax(1)
    found_K = reached_KT.any(1)
    tags_K = np.arange(len(kinds))
    return Thresholds(
        threshold_K=np.where(found_K, scores_T[first_K], NEVER),
        precision_K=np.where(found_K, precision_KT[tags_K, first_K], np.nan),
        basis=["labels" if a else "captions" if b else "kind" for a, b in zip(*enough, strict=True)],
    )


def _added_by_labels(histogram: ScoreHistogram, recall: float) -> tuple[np.ndarray, np.ndarray]:
    """Right tags, and all tags, that would be added above the lower edge of every bin."""
    right_KT, total_KT = _from_the_top(histogram.positives_KT), _from_the_top(histogram.totals_KT)
    added_KT = (1 - recall) * right_KT
    return added_KT, added_KT + total_KT - right_KT


def _added_by_captions(histogram: ScoreHistogram, recall: float) -> tuple[np.ndarray, np.ndarray]:
    """The same, where only what captions name is known to be right."""
    named_KT, total_KT = _from_the_top(histogram.positives_KT), _from_the_top(histogram.totals_KT)
    added_KT = total_KT - named_KT
    return np.minimum(named_KT * (1 - recall) / recall, added_KT), added_KT


def _from_the_top(counts_KT: np.ndarray) -> np.ndarray:
    return counts_KT[:, ::-1].cumsum(1)[:, ::-1].astype(np.float64)


def _kind_precision(right_KT: np.ndarray, total_KT: np.ndarray, kinds: Sequence[str], weight: float) -> np.ndarray:
    """Precision of all tags of a tag's kind at each threshold, shrunk to that of all tags; never falls as it rises."""
    everything_T = right_KT.sum(0) / np.maximum(total_KT.sum(0), 1)
    names = np.asarray(kinds)
    prior_KT = np.empty_like(right_KT)
    for kind in np.unique(names):
        mine = names == kind
        right_T, total_T = right_KT[mine].sum(0), total_KT[mine].sum(0)
        # Bins above the highest score hold no count: they keep the best precision seen under them.
        prior_KT[mine] = np.maximum.accumulate((right_T + weight * everything_T) / (total_T + weight))
    return prior_KT
