"""The metrics of one model on one benchmark, from its scores and the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ram.evaluation.average_precision import average_precisions, interval, mean_of, micro_average_precision

# N images, K names


@dataclass(frozen=True)
class Decisions:
    """Precision, recall and F1 of yes/no decisions, per name; `micro` counts all decisions together.

    Precision is 0 where a name was never predicted; all are NaN without positives.
    """

    precision_K: np.ndarray
    recall_K: np.ndarray
    f1_K: np.ndarray
    micro: tuple[float, float, float]


def decide(scores_NK: np.ndarray, positive_NK: np.ndarray, threshold_K: np.ndarray) -> Decisions:
    """What a score at or over its name's threshold says. Names without positives have no values and do not count."""
    predicted_NK, positive_NK = scores_NK >= threshold_K, positive_NK.astype(bool)
    hits_K = (predicted_NK & positive_NK).sum(axis=0).astype(np.float64)
    num_predicted_K, num_positive_K = predicted_NK.sum(axis=0), positive_NK.sum(axis=0)
    known = num_positive_K > 0
    precision = np.where(known, _ratio(hits_K, num_predicted_K), np.nan)
    recall = np.where(known, _ratio(hits_K, num_positive_K), np.nan)
    f1 = np.where(known, _ratio(2 * hits_K, num_predicted_K + num_positive_K), np.nan)
    hits, predicted, positives = hits_K[known].sum(), num_predicted_K[known].sum(), num_positive_K[known].sum()
    micro = (
        float(_ratio(hits, predicted)),
        float(_ratio(hits, positives)),
        float(_ratio(2 * hits, predicted + positives)),
    )
    return Decisions(precision, recall, f1, micro)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.asarray(numerator) / np.maximum(denominator, 1)  # the numerator is 0 wherever the denominator is


@dataclass(frozen=True)
class NameFacts:
    """What is known of the names of a benchmark, each (K,): the groups that the metrics are split by."""

    names: Sequence[str]
    seen: np.ndarray  # bool: the model trained on positives of it
    in_label_system: np.ndarray  # bool: a tag before any fine-tuning
    held_out: np.ndarray  # bool: kept out of the fine-tuning on purpose
    kinds: Sequence[str]


def summarize(
    scores_NK: np.ndarray,
    positive_NK: np.ndarray,
    facts: NameFacts,
    threshold_K: np.ndarray,
    num_bootstrap: int,
    seed: int,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metrics of a benchmark as JSON, and per name: average_precision, precision, recall, num_positives (K,).

    Names without positives are left out of every mean, and counted. `chance_mAP` is the mean share of positives: what
    random scores reach. None stands where a group has no name with positives.
    """
    num_positives_K = positive_NK.astype(bool).sum(axis=0)
    known = num_positives_K > 0
    values_K, resampled_RK = average_precisions(scores_NK, positive_NK, num_bootstrap, seed)
    decisions = decide(scores_NK, positive_NK, threshold_K)
    kinds = np.array(facts.kinds, dtype=object)
    summary: dict[str, Any] = {
        "mAP": mean_of(values_K),
        "mAP_ci95": interval(mean_of(values_K), resampled_RK),
        "mAP_seen": mean_of(values_K, facts.seen),
        "mAP_unseen": mean_of(values_K, ~facts.seen),
        "mAP_in_label_system": mean_of(values_K, facts.in_label_system),
        "mAP_not_in_label_system": mean_of(values_K, ~facts.in_label_system),
        "mAP_held_out": mean_of(values_K, facts.held_out),
        "micro_mAP": micro_average_precision(scores_NK[:, known], positive_NK[:, known]) if known.any() else None,
        "precision_macro": mean_of(decisions.precision_K),
        "recall_macro": mean_of(decisions.recall_K),
        "f1_macro": mean_of(decisions.f1_K),
        **dict(zip(("precision_micro", "recall_micro", "f1_micro"), decisions.micro, strict=True)),
        "chance_mAP": float(positive_NK[:, known].mean()) if known.any() else None,
        "num_tags": len(facts.names),
        "num_tags_seen": int(facts.seen.sum()),
        "num_tags_in_label_system": int(facts.in_label_system.sum()),
        "num_tags_without_positives": int((~known).sum()),
        "num_images": len(scores_NK),
        "per_kind": per_kind(values_K, kinds),
    }
    per_name = {
        "average_precision": values_K,
        "precision": decisions.precision_K,
        "recall": decisions.recall_K,
        "num_positives": num_positives_K,
    }
    return summary, per_name


def per_kind(values_K: np.ndarray, kinds: np.ndarray) -> dict[str, Mapping[str, Any]]:
    """mAP and number of names with positives, of each kind."""
    groups = {kind: kinds == kind for kind in sorted(set(kinds))}
    return {
        kind: {"mAP": mean_of(values_K, chosen), "num_tags": int((chosen & ~np.isnan(values_K)).sum())}
        for kind, chosen in groups.items()
    }
