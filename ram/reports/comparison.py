"""Models on a benchmark: labels are read, images found, names mapped, every model scored and judged on the same images."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ram.evaluation.baselines.interface import Asked, NameScorer, Settings
from ram.evaluation.images import find_images
from ram.evaluation.judge import Judged, Options, difference, judge
from ram.evaluation.label_formats import Description, Labeled, Problems, read_labels
from ram.evaluation.leaks import find_leaks
from ram.evaluation.mapping import MappedName, propose, read_mapping
from ram.io.progress import track
from ram.io.tables import new_array
from ram.labels.wordnet import load_wordnet

# N images, K names

_BYTES_IN_MEMORY = 1 << 30  # scores beyond lie in a file


@dataclass
class Benchmark:
    """A described benchmark whose labels have been read and whose images have been found."""

    description: Description
    labeled: Labeled
    asked: Asked
    problems: Problems

    @property
    def unseen(self) -> list[str]:
        """The names that no model should have trained on."""
        names = self.labeled.names
        return list(names) if self.description.unseen == "all" else [n for n in names if n in self.description.unseen]


def open_benchmark(description: Description, *, with_images: bool) -> Benchmark:
    """Labels whose image is missing are set aside, and counted. `ValueError` where no image is left."""
    from ram.evaluation.baselines.captions import read_captions

    problems = Problems()
    labeled = read_labels(description, problems)
    _compare_sizes(description, labeled)
    if isinstance(description.unseen, tuple) and (unknown := set(description.unseen) - set(labeled.names)):
        raise ValueError(f"unseen names {sorted(unknown)} are no names of benchmark {description.name}")
    finder = None
    keys: list[str] = []
    if with_images:
        if description.images is None:
            raise ValueError(f"these models look at images: say where those of {description.name} are, with --images")
        finder = find_images(description.images)
        chosen, keys = finder.locate(labeled.images, problems)
        if not len(chosen):
            raise ValueError(f"none of the {len(labeled.images)} images is in {description.images}: {problems}")
        labeled = labeled.of_images(chosen)
    captions = read_captions(description.captions, labeled.images) if description.captions else {}
    return Benchmark(description, labeled, Asked(labeled.images, finder, keys, captions), problems)


def _compare_sizes(description: Description, labeled: Labeled) -> None:
    for what, published, num in (
        ("names", description.num_names, len(labeled.names)),
        ("images", description.num_images, len(labeled.images)),
    ):
        if published not in (None, num):
            print(
                f"{description.name}: {num} {what}, the published benchmark has {published}; figures do not compare",
                file=sys.stderr,
            )


def map_names(
    scorer: NameScorer, benchmark: Benchmark, path: Path | None, *, suggest: bool = False
) -> list[MappedName]:
    """The mapping in a file, else the project's own proposal, of sure matches; all texts where there are no tags."""
    names = benchmark.labeled.names
    if path is not None:
        return read_mapping(path, names, scorer.label_system)
    if scorer.label_system is None:
        return [MappedName(name, (), "text") for name in names]
    wordnet = load_wordnet() if suggest else None
    return propose(names, scorer.label_system, wordnet, benchmark.labeled.alternatives)


@dataclass(frozen=True)
class Comparison:
    """What `ram evaluate` writes: a JSON document, and a row a model and name."""

    document: dict[str, Any]
    per_name: pd.DataFrame


def compare(
    scorers: Sequence[NameScorer], benchmark: Benchmark, mapping_path: Path | None, settings: Settings, options: Options
) -> Comparison:
    """Every model on the images that all can read; differences are of each model from the first."""
    mappings = [map_names(scorer, benchmark, mapping_path) for scorer in scorers]
    kept_names = np.array([k for k, row in enumerate(mappings[0]) if not row.is_left_out], dtype=np.int64)
    if not len(kept_names):
        raise ValueError(f"{mapping_path} leaves every name out; map some")
    mappings = [[mapping[k] for k in kept_names] for mapping in mappings]
    labeled = benchmark.labeled.of_names(kept_names)
    with tempfile.TemporaryDirectory() as folder:
        scores = [
            _score(scorer, benchmark.asked, mapping, Path(folder, f"{i}.npy"), settings)
            for i, (scorer, mapping) in enumerate(zip(scorers, mappings, strict=True))
        ]
        readable = _readable(benchmark)
        if len(readable) < len(labeled.images):
            labeled = labeled.of_images(readable)
            scores = [scores_NK[readable] for scores_NK in scores]
        judged = [
            _judge(scorer, scores_NK, labeled, mapping, benchmark, options)
            for scorer, scores_NK, mapping in zip(scorers, scores, mappings, strict=True)
        ]
    first = judged[0]
    models = [
        {"model": scorer.title, "facts": scorer.facts(), **one.summary}
        | ({} if one is first else {"difference_from_first": difference(one, first)})
        for scorer, one in zip(scorers, judged, strict=True)
    ]
    left_out = [name for k, name in enumerate(benchmark.labeled.names) if k not in set(kept_names.tolist())]
    document = {
        "benchmark": benchmark.description.name,
        "mapping": str(mapping_path) if mapping_path else "proposed, not reviewed",
        "left_out": left_out,
        "problems": benchmark.problems.to_json(),
        "models": models,
    }
    rows = [one.per_name.assign(model=scorer.title) for scorer, one in zip(scorers, judged, strict=True)]
    return Comparison(document, pd.concat(rows, ignore_index=True))


def _score(
    scorer: NameScorer, asked: Asked, mapping: Sequence[MappedName], path: Path, settings: Settings
) -> np.ndarray:
    shape = (len(asked.images), len(mapping))
    if shape[0] * shape[1] * 4 > _BYTES_IN_MEMORY:
        scores_NK: np.ndarray = new_array(path, np.float32, shape, f"the scores of {scorer.title}")
    else:
        scores_NK = np.empty(shape, np.float32)
    done = 0
    for scores_BK in track(scorer.scores(asked, mapping), scorer.title, unit="batch"):
        scores_NK[done : done + len(scores_BK)] = scores_BK
        done += len(scores_BK)
    assert done == len(asked.images), (done, len(asked.images))
    return scores_NK


def _readable(benchmark: Benchmark) -> np.ndarray:
    """The numbers of the images that could be read; the others are counted."""
    finder = benchmark.asked.finder
    if finder is None:
        return np.arange(len(benchmark.asked.images))
    numbers = []
    for number, key in enumerate(benchmark.asked.keys):
        if key in finder.broken:
            benchmark.problems.add("broken_image", f"{key}: {finder.broken[key]}")
        else:
            numbers.append(number)
    if not numbers:
        raise ValueError(f"no image of {benchmark.description.name} can be read: {benchmark.problems}")
    return np.array(numbers, dtype=np.int64)


def _judge(
    scorer: NameScorer,
    scores_NK: np.ndarray,
    labeled: Labeled,
    mapping: Sequence[MappedName],
    benchmark: Benchmark,
    options: Options,
) -> Judged:
    threshold_K, how = scorer.thresholds(mapping)
    unseen = [name for name in benchmark.unseen if name in set(labeled.names)]
    leaks = []
    if scorer.label_system is not None and unseen:
        leaks = find_leaks(unseen, scorer.label_system, load_wordnet(), mapping, scorer.held_out())
    judged = judge(scores_NK, labeled, mapping, threshold_K, leaks, unseen, options)
    judged.summary["thresholds"] = how
    return judged
