"""Scores and labels -> the metrics of one model on one benchmark, whole and by group, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ram.evaluation.average_precision import interval, mean_of
from ram.evaluation.columns import Resamples, TagMetrics, Targets, resample, tag_metrics
from ram.evaluation.label_formats import Labeled
from ram.evaluation.leaks import Leak, leaks_to_json
from ram.evaluation.mapping import MappedName

# N images, K names, R resamples

BANDS = ((1, 10), (10, 100), (100, 1000), (1000, 10_000), (10_000, None))  # from, up to but not including


@dataclass(frozen=True, kw_only=True)
class Options:
    """How scores are judged."""

    thresholds: tuple[float, ...] = ()  # besides the model's own: one for all names, each
    num_resamples: int = 200  # of the images, for intervals; 0: none
    seed: int = 0

    def __post_init__(self) -> None:
        if bad := [value for value in self.thresholds if not 0 <= value <= 1]:
            raise ValueError(f"a threshold lies between 0 and 1, got {bad[0]}")
        if self.num_resamples < 0:
            raise ValueError(f"the number of resamples must be 0 or more, got {self.num_resamples}")


@dataclass(frozen=True)
class Judged:
    """The metrics as JSON, a row a name, and average precisions by resample (R, K), for paired differences."""

    summary: dict[str, Any]
    per_name: pd.DataFrame
    resampled_RK: np.ndarray


def judge(
    scores_NK: Any,
    labeled: Labeled,
    mapping: Sequence[MappedName],
    threshold_K: np.ndarray,
    leaks: Sequence[Leak],
    unseen: Sequence[str],
    options: Options,
) -> Judged:
    """`labeled` has the names of `mapping`, and the images of the scores. Names without positives are left out of every
    mean, and listed. `chance_mAP` is the mean share of positives: what random scores reach.
    """
    targets = labeled.targets()
    found = tag_metrics(scores_NK, targets, threshold_K)
    draws = _resamples(scores_NK, targets, threshold_K, options)
    leaked = {leak.name for leak in leaks}
    is_unseen = np.isin(labeled.names, list(unseen))
    is_leaked = np.isin(labeled.names, list(leaked))
    values_K = found.average_precision
    judged_K = found.num_positives > 0
    share_K = found.num_positives / np.maximum(found.num_known, 1)
    summary = {
        **_means(found, draws),
        "chance_mAP": mean_of(np.where(judged_K, share_K, np.nan)),
        "mAP_unseen": mean_of(values_K, is_unseen),
        "mAP_unseen_without_leaks": mean_of(values_K, is_unseen & ~is_leaked),
        "num_names": len(labeled.names),
        "num_images": len(labeled.images),
        "num_positives": int(found.num_positives.sum()),
        "num_unknown": int((found.num_known.size * len(labeled.images)) - found.num_known.sum()),
        "without_positives": [n for n, known in zip(labeled.names, judged_K, strict=True) if not known],
        "unseen": {"num": int(is_unseen.sum()), "leaks": leaks_to_json(leaks)},
        "mapping": _mapping_facts(mapping),
        "per_kind": by_group(found, kinds_of(mapping)),
        "per_training_frequency": by_group(found, training_bands(mapping)),
        "per_positives": by_group(found, [band_of(int(n)) for n in found.num_positives]),
        "at_thresholds": [_at(scores_NK, targets, value) for value in options.thresholds],
    }
    per_name = _per_name(found, draws, labeled, mapping, threshold_K).assign(unseen=is_unseen, leaked=is_leaked)
    resampled = np.zeros((0, len(labeled.names))) if draws is None else draws.average_precision
    return Judged(summary, per_name, resampled)


def _per_name(
    found: TagMetrics,
    draws: Resamples | None,
    labeled: Labeled,
    mapping: Sequence[MappedName],
    threshold_K: np.ndarray,
) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "name": labeled.names,
            "tags": [" | ".join(tag.name for tag in row.tags) for row in mapping],
            "how": [row.how for row in mapping],
            "kind": kinds_of(mapping),
            "training_frequency": [sum(tag.frequency for tag in row.tags) for row in mapping],
            "num_positives": found.num_positives,
            "num_known": found.num_known,
            "num_predicted": found.num_predicted,
            "threshold": threshold_K,
            "average_precision": found.average_precision,
            "precision": found.precision,
            "recall": found.recall,
            "f1": found.f1,
        }
    )
    if draws is not None:
        rows[["ap_low", "ap_high"]] = [
            interval(None if np.isnan(value) else value, draws.average_precision[:, [k]]) or (np.nan, np.nan)
            for k, value in enumerate(found.average_precision)
        ]
    return rows


def _resamples(scores_NK: Any, targets: Targets, threshold_K: np.ndarray, options: Options) -> Resamples | None:
    if not options.num_resamples:
        return None
    return resample(scores_NK, targets, threshold_K, options.num_resamples, options.seed)


def _means(found: TagMetrics, draws: Resamples | None) -> dict[str, Any]:
    means: dict[str, Any] = {
        "mAP": mean_of(found.average_precision),
        "micro_mAP": found.micro_average_precision,
        "precision_macro": mean_of(found.precision),
        "recall_macro": mean_of(found.recall),
        "f1_macro": mean_of(found.f1),
        "precision_micro": found.micro_precision,
        "recall_micro": found.micro_recall,
        "f1_micro": found.micro_f1,
    }
    if draws is not None:
        means["mAP_ci95"] = interval(means["mAP"], draws.average_precision)
        means["f1_macro_ci95"] = interval(means["f1_macro"], draws.f1)
        means["f1_micro_ci95"] = interval(means["f1_micro"], draws.micro_f1[:, None])
    return means


def _at(scores_NK: Any, targets: Targets, threshold: float) -> dict[str, Any]:
    found = tag_metrics(scores_NK, targets, np.full(scores_NK.shape[1], threshold), micro=False)
    return {"threshold": threshold} | {
        name: value for name, value in _means(found, None).items() if name.startswith(("precision", "recall", "f1"))
    }


def _mapping_facts(mapping: Sequence[MappedName]) -> dict[str, Any]:
    """How many names were found how, and which are scored by their text."""
    ways = [row.how if row.tags else "text" for row in mapping]
    return {
        "num_by_way": {way: ways.count(way) for way in sorted(set(ways))},
        "text": [row.name for row in mapping if not row.tags],
    }


def kinds_of(mapping: Sequence[MappedName]) -> list[str]:
    """The kind of each name's first tag, or "no tag"."""
    return [row.tags[0].kind if row.tags else "no tag" for row in mapping]


def band_of(number: int) -> str:
    """ "0", "1-9", … "10000+"."""
    for first, end in BANDS:
        if first <= number and (end is None or number < end):
            return f"{first}+" if end is None else f"{first}-{end - 1}"
    return "0"


def training_bands(mapping: Sequence[MappedName]) -> list[str]:
    """By mentions in training captions; "not known" where the label system has none at all, as an imported one."""
    if not any(tag.frequency for row in mapping for tag in row.tags):
        return ["not known" if row.tags else "no tag" for row in mapping]
    return [band_of(sum(tag.frequency for tag in row.tags)) if row.tags else "no tag" for row in mapping]


def by_group(found: TagMetrics, groups: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Macro metrics of the names of each group that have positives."""
    of = np.array(groups, dtype=object)
    order = sorted(
        set(groups), key=lambda group: (int(group.split("-")[0].rstrip("+")) if group[0].isdigit() else -1, group)
    )
    return {
        group: {
            "num_names": int((of == group).sum()),
            "num_judged": int(((of == group) & (found.num_positives > 0)).sum()),
            "mAP": mean_of(found.average_precision, of == group),
            "precision": mean_of(found.precision, of == group),
            "recall": mean_of(found.recall, of == group),
            "f1": mean_of(found.f1, of == group),
        }
        for group in order
    }


def difference(one: Judged, other: Judged) -> dict[str, Any]:
    """mAP of `one` less that of `other`, with the interval of the paired resamples."""
    value_K = one.per_name["average_precision"].to_numpy() - other.per_name["average_precision"].to_numpy()
    value = mean_of(value_K)
    found: dict[str, Any] = {"mAP": value}
    if value is not None and len(one.resampled_RK):
        means = np.array([mean_of(row) for row in one.resampled_RK - other.resampled_RK], dtype=float)
        low, high = np.nanquantile(means, [0.025, 0.975]) - np.nanmean(means) + value
        found["mAP_ci95"] = [float(low), float(high)]
    return found
