"""finetuned model, labels of split dev -> thresholds: the score from which on a tag is there, and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ram.evaluation.benchmarks import Benchmark, load_benchmarks
from ram.evaluation.fitting import ThresholdParams, fit_thresholds
from ram.evaluation.scoring import BenchmarkScorer, Scored, facts_of
from ram.evaluation.thresholds import TagScores
from ram.io.tables import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Params(ThresholdParams):
    batch_size: int = 64


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
    return Outputs(fit_thresholds(trained, untrained, params))


def _by_tag(
    dev: Sequence[Benchmark], scored: Sequence[Scored], held_out: set[str]
) -> tuple[list[TagScores], list[TagScores]]:
    """The dev scores of every labeled tag, trained ones and others. Names of one tag in a benchmark are one label."""
    unseen = {name for benchmark in dev for name in benchmark.unseen} | held_out
    parts: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    number: dict[str, int] = {}  # of an image, in all benchmarks that have it
    kinds: dict[str, str] = {}
    untrained: set[str] = set()
    for benchmark, scores in zip(dev, scored, strict=True):
        images = np.array([number.setdefault(image_id, len(number)) for image_id in benchmark.image_ids], np.int64)
        columns: dict[str, list[int]] = {}
        for k, match in enumerate(scores.matches):
            tag = match.tag.name if match.tag is not None else match.name
            columns.setdefault(tag, []).append(k)
            kinds[tag] = match.tag.kind if match.tag is not None else "object"
            if match.tag is None or match.name in unseen:
                untrained.add(tag)
        for tag, group in columns.items():
            positive = np.asarray(benchmark.positive_NK[:, group].any(axis=1))
            parts.setdefault(tag, []).append((scores.own_NK[:, group[0]], positive, images))
    tags = [
        TagScores(tag, kinds[tag], *(np.concatenate(each) for each in zip(*own, strict=True)))
        for tag, own in sorted(parts.items())
    ]
    return [t for t in tags if t.name not in untrained], [t for t in tags if t.name in untrained]
