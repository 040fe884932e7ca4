"""finetuned model, labels of split dev -> thresholds: the score from which on a tag is there, and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ram.evaluation.benchmarks import Benchmark, load_benchmarks
from ram.evaluation.calibration import Calibration, Method, expected_calibration_error, fit
from ram.evaluation.scoring import BenchmarkScorer, Scored, facts_of
from ram.evaluation.thresholds import TagScores, Target, Thresholds, calibrate, pooled
from ram.storage import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    target: Target  # f1 | precision | precision=recall
    min_precision: float  # for target precision
    prior_positives: float  # a tag with so many labels leans half on its kind's threshold
    min_kind_positives: int  # a kind with fewer labels takes the threshold of all tags
    min_open_set_positives: int  # with fewer labels of untrained names, open_set is default * open_set_factor
    open_set_factor: float
    calibration: Method  # platt | temperature | none
    num_bins: int = 15  # of the calibration error
    batch_size: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.min_precision <= 1:
            raise ValueError(f"min_precision must lie between 0 and 1, got {self.min_precision}")
        if self.prior_positives < 0:
            raise ValueError(f"prior_positives must be 0 or more, got {self.prior_positives}")
        if not 0 < self.open_set_factor <= 1:
            raise ValueError(f"open_set_factor must be above 0 and at most 1, got {self.open_set_factor}")


class Inputs(NamedTuple):
    finetuned_model: Path
    images: Table
    image_shards: Path
    image_features: Path
    labels: Table
    benchmarks: dict[str, Any]


class Outputs(NamedTuple):
    thresholds: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """Thresholds are of the model's score as it is, not of the calibrated one, which has the same order.

    A name that the model was not trained on gets the open-set threshold, though dev labels it: so does any new tag.
    """
    scorer = BenchmarkScorer(
        inputs.finetuned_model, inputs.images, inputs.image_shards, inputs.image_features, params.batch_size
    )
    dev = load_benchmarks(inputs.benchmarks, inputs.images, inputs.labels, "dev")
    scored = [scorer(benchmark, f"dev scores of {benchmark.name}") for benchmark in dev]
    trained, untrained = _by_tag(dev, scored, set(facts_of(inputs.finetuned_model).get("held_out_names", ())))
    found = calibrate(
        trained, params.target, params.min_precision, params.prior_positives, params.min_kind_positives
    )  # fmt: skip
    open_set = _open_set(untrained, found, params)
    tags = {**found.tags, **{tag.name: open_set for tag in untrained}}
    return Outputs(
        {
            "target": params.target,
            "default": found.default,
            "open_set": open_set,
            "kinds": dict(found.kinds),
            "tags": tags,
            "support": {tag.name: tag.num_positives for tag in (*trained, *untrained)},
            "untrained": [tag.name for tag in untrained],
            **_calibration(trained, params),
        }
    )


def _by_tag(
    dev: Sequence[Benchmark], scored: Sequence[Scored], held_out: set[str]
) -> tuple[list[TagScores], list[TagScores]]:
    """The dev scores of every labelled tag, trained ones and others. Names of one tag in a benchmark are one label."""
    unseen = {name for benchmark in dev for name in benchmark.unseen} | held_out
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    kinds: dict[str, str] = {}
    untrained: set[str] = set()
    for benchmark, scores in zip(dev, scored, strict=True):
        columns: dict[str, list[int]] = {}
        for k, match in enumerate(scores.matches):
            tag = match.tag.name if match.tag is not None else match.name
            columns.setdefault(tag, []).append(k)
            kinds[tag] = match.tag.kind if match.tag is not None else "object"
            if match.tag is None or match.name in unseen:
                untrained.add(tag)
        for tag, group in columns.items():
            positive = np.asarray(benchmark.positive_NK[:, group].any(axis=1))
            parts.setdefault(tag, []).append((scores.own_NK[:, group[0]], positive))
    tags = [
        TagScores(tag, kinds[tag], np.concatenate([s for s, _ in own]), np.concatenate([p for _, p in own]))
        for tag, own in sorted(parts.items())
    ]
    return [t for t in tags if t.name not in untrained], [t for t in tags if t.name in untrained]


def _open_set(untrained: Sequence[TagScores], found: Thresholds, params: Params) -> float:
    if sum(tag.num_positives for tag in untrained) >= max(params.min_open_set_positives, 1):
        return pooled(untrained, params.target, params.min_precision)
    return found.default * params.open_set_factor


def _calibration(trained: Sequence[TagScores], params: Params) -> dict[str, Any]:
    """Temperature, bias and calibration error: of each half of the pairs by a fit on the other; kept is one on all."""
    scores = np.concatenate([tag.scores for tag in trained])
    positive = np.concatenate([tag.positive for tag in trained])
    calibration: Calibration = fit(scores, positive, params.calibration)
    halves = [np.arange(len(scores)) % 2 == side for side in (0, 1)]
    after = [
        expected_calibration_error(
            fit(scores[a], positive[a], params.calibration)(scores[b]), positive[b], params.num_bins
        )
        for a, b in (halves, halves[::-1])
        if a.any() and b.any()
    ]
    before = expected_calibration_error(scores, positive, params.num_bins)
    return {
        "temperature": calibration.temperature,
        "bias": calibration.bias,
        "ece_before": before,
        "ece_after": float(np.mean(after)) if after else before,
        "num_scores": len(scores),
        "share_of_positives": float(positive.mean()),
    }
