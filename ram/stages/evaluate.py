"""models, benchmarks -> metrics: every model on the test images of every benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ram.evaluation.average_precision import average_precisions, mean_of
from ram.evaluation.benchmarks import Benchmark, Match, describe_matches, load_benchmarks, tags_with_positives
from ram.evaluation.metrics import NameFacts, summarize
from ram.evaluation.scoring import BenchmarkScorer, facts_of, label_system_of
from ram.evaluation.thresholds import best_threshold
from ram.io.tables import Table
from ram.labels import LabelSystem

MODELS = ("preliminary", "retrained_uncleaned", "retrained", "finetuned")
_NO_ROWS = pd.DataFrame(
    {
        **{name: pd.Series(dtype=str) for name in ("model", "benchmark", "name")},
        "seen": pd.Series(dtype=bool),
        "num_positives": pd.Series(dtype=int),
        **{name: pd.Series(dtype=float) for name in ("average_precision", "precision", "recall")},
    }
)
_NO_SCORES = pd.DataFrame({name: pd.Series(dtype=object) for name in ("benchmark", "image_id", "scores", "positive")})


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    # A name's score: its own, or the highest of it and of the tags that are a kind of it. unseen: the highest for names
    # that no training image had, which know only their children. Both are reported: mAP, mAP_with_children.
    use_children: Literal["never", "unseen", "always"]
    num_bootstrap: int  # resamples of the images, for the 95 % interval of mAP; 0: none
    default_threshold: float = 0.5  # where a benchmark has no dev images to choose one by
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.num_bootstrap < 0:
            raise ValueError(f"num_bootstrap must be 0 or more, got {self.num_bootstrap}")
        if not 0 < self.default_threshold < 1:
            raise ValueError(f"default_threshold must lie between 0 and 1, got {self.default_threshold}")


class Inputs(NamedTuple):
    preliminary_model: Path
    retrained_uncleaned_model: Path
    retrained_model: Path
    finetuned_model: Path
    thresholds: dict[str, Any]
    images: Table
    image_shards: Path
    image_features: Path
    labels: Table
    benchmarks: dict[str, Any]
    parsed_tags: Table


class Outputs(NamedTuple):
    evaluation: dict[str, Any]
    per_tag_metrics: pd.DataFrame
    test_scores: pd.DataFrame


@dataclass(frozen=True)
class _Common:
    """What all models are judged by: test and dev images, the label system before any fine-tuning, what was seen."""

    test: list[Benchmark]
    dev: dict[str, Benchmark]
    label_system: LabelSystem
    seen_tags: set[str]
    held_out: set[str]


def run(inputs: Inputs, params: Params) -> Outputs:
    """Precision, recall and F1 are at the tags' thresholds for the finetuned model, which these were made for; for any
    other at one threshold for all names, that of the best F1 on the dev images.
    """
    return evaluate_models(inputs, params, MODELS)


def evaluate_models(inputs: Inputs, params: Params, models: Sequence[str]) -> Outputs:
    """As `run`, of these models alone."""
    label_system = label_system_of(inputs.preliminary_model)
    common = _Common(
        test=load_benchmarks(inputs.benchmarks, inputs.images, inputs.labels, "test"),
        dev={b.name: b for b in load_benchmarks(inputs.benchmarks, inputs.images, inputs.labels, "dev")},
        label_system=label_system,
        seen_tags=_seen_tags(inputs, label_system),
        held_out=set(facts_of(inputs.finetuned_model).get("held_out_names", ())),
    )
    evaluation: dict[str, Any] = {}
    rows: list[pd.DataFrame] = []
    scores = [_NO_SCORES]
    for model in models:
        path: Path = getattr(inputs, f"{model}_model")
        evaluation[model] = {}
        evaluator = _Evaluator(
            model=model,
            scorer=BenchmarkScorer(path, inputs.images, inputs.image_shards, inputs.image_features, params.batch_size),
            finetuned_tags=set(facts_of(path).get("finetuned_tags", ())),
            thresholds=inputs.thresholds if model == "finetuned" else None,
            common=common,
            params=params,
        )
        for benchmark in common.test:
            evaluation[model][benchmark.name], per_name, scores_NK = evaluator(benchmark)
            rows.append(per_name.assign(model=model, benchmark=benchmark.name))
            if model == "finetuned":
                scores.append(_score_rows(benchmark, scores_NK))
    per_tag = pd.concat(rows, ignore_index=True) if rows else _NO_ROWS
    return Outputs(evaluation, per_tag, pd.concat(scores, ignore_index=True))


def _score_rows(benchmark: Benchmark, scores_NK: np.ndarray) -> pd.DataFrame:
    """What two models are compared by, image for image."""
    columns = {"benchmark": benchmark.name, "image_id": benchmark.image_ids}
    return pd.DataFrame({**columns, "scores": list(scores_NK), "positive": list(benchmark.positive_NK)})


def _seen_tags(inputs: Inputs, label_system: LabelSystem) -> set[str]:
    """The tags that a caption of split train names, by the table parsed_tags."""
    images = inputs.images.to_pandas(["image_id", "split"])
    train = images["image_id"][images["split"] == "train"]
    batches = (batch.to_pandas() for batch in inputs.parsed_tags.batches(["image_id", "tag_id"]))
    return {label_system[tag_id].name for tag_id in tags_with_positives(batches, train)}


@dataclass(frozen=True, kw_only=True)
class _Evaluator:
    """One model on the benchmarks. `thresholds` are the model's own, if it has any."""

    model: str
    scorer: BenchmarkScorer
    finetuned_tags: set[str]
    thresholds: Mapping[str, Any] | None
    common: _Common
    params: Params

    def __call__(self, benchmark: Benchmark) -> tuple[dict[str, Any], pd.DataFrame, np.ndarray]:
        """The metrics, those of every name, and the scores that they are of."""
        scored = self.scorer(benchmark, f"{self.model} on {benchmark.name}")
        facts = self._facts(benchmark, scored.matches)
        uses_children = self._uses_children(facts.seen)
        threshold_K, how = self._thresholds(benchmark, scored.matches, uses_children)
        scores_NK = np.where(uses_children, scored.best_NK, scored.own_NK)
        summary, per_name = summarize(
            scores_NK,
            benchmark.positive_NK,
            facts,
            threshold_K,
            self.params.num_bootstrap,
            self.params.seed,
        )
        with_children_K, _ = average_precisions(scored.best_NK, benchmark.positive_NK)
        summary |= {
            "mAP_with_children": mean_of(with_children_K),
            "thresholds": how,
            "mapping": describe_matches(scored.matches, uses_children.tolist()),
            "unseen": self._unseen(benchmark, scored.matches),
        }
        return summary, pd.DataFrame({"name": benchmark.names, "seen": facts.seen, **per_name}), scores_NK

    def _facts(self, benchmark: Benchmark, matches: list[Match]) -> NameFacts:
        """Seen: a tag that training images had, by their captions or, for the finetuned model, by human labels.

        Names that the benchmark calls unseen are left out of every loss: they are not seen though captions name them.
        """
        before = [self.common.label_system.find(match.name) for match in matches]
        seen = [
            m.name not in benchmark.unseen
            and bool(
                (tag is not None and tag.name in self.common.seen_tags)
                or (m.tag is not None and m.tag.name in self.finetuned_tags)
            )
            for m, tag in zip(matches, before, strict=True)
        ]
        return NameFacts(
            names=benchmark.names,
            seen=np.array(seen, dtype=bool),
            in_label_system=np.array([tag is not None for tag in before], dtype=bool),
            held_out=np.array([name in self.common.held_out for name in benchmark.names], dtype=bool),
            kinds=[tag.kind if tag is not None else "no tag" for tag in before],
        )

    def _uses_children(self, seen_K: np.ndarray) -> np.ndarray:
        choices = {"never": np.zeros_like(seen_K), "unseen": ~seen_K, "always": np.ones_like(seen_K)}
        return choices[self.params.use_children]

    def _thresholds(
        self, benchmark: Benchmark, matches: list[Match], uses_children: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A threshold a name, and how it came about."""
        if self.thresholds is not None:
            own, default, open_set = (self.thresholds[key] for key in ("tags", "default", "open_set"))
            values = [own.get(m.name, open_set) if m.tag is None else own.get(m.tag.name, default) for m in matches]
            return np.array(values), {"from": "thresholds.json, a name each"}
        dev = self.common.dev.get(benchmark.name)
        if dev is None or not dev.positive_NK.any():
            value = self.params.default_threshold
            return np.full(len(matches), value), {"from": "default_threshold", "value": value}
        on_dev = self.scorer(dev, f"{self.model} on dev of {benchmark.name}")
        scores_NK = np.where(uses_children, on_dev.best_NK, on_dev.own_NK)
        value = best_threshold(scores_NK.ravel(), dev.positive_NK.ravel(), "f1")
        return np.full(len(matches), value), {"from": "the best F1 on dev, one for all names", "value": value}

    def _unseen(self, benchmark: Benchmark, matches: list[Match]) -> dict[str, list[str]]:
        """The names that must not be trained on, and those of them that training may have met after all."""
        tags = [(m.name, m.tag.name) for m in matches if m.name in benchmark.unseen and m.tag is not None]
        others = {m.tag.name for m in matches if m.name not in benchmark.unseen and m.tag is not None}
        return {
            "names": sorted(benchmark.unseen),
            "leaked_by_labels": [name for name, tag in tags if tag in self.finetuned_tags],
            "leaked_by_synonym": [name for name, tag in tags if tag in others],
            # No leak in itself: training leaves these tags out of its losses.
            "in_train_captions": [name for name, tag in tags if tag in self.common.seen_tags],
        }
