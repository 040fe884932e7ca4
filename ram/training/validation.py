"""Evaluation inside the loop: mean average precision on the human labels of split dev."""

# B images, K names, E text embedding width

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.model.ram import RAM
from ram.model.text_encoder import make_text_encoder
from ram.training.batches import Inputs
from ram.training.metrics import mean_average_precision

_BATCH_SIZE = 64


@dataclass(frozen=True)
class DevBenchmark:
    """One benchmark on split dev: which names are in which images, and whether a name may be trained on."""

    name: str
    image_ids: list[str]
    names: list[str]
    positive_BK: np.ndarray
    seen_K: np.ndarray  # False: the name is no tag of the model, or must not be trained on
    embedding_KE: np.ndarray
    tag_id_K: np.ndarray | None = None  # the names are tags of the model: their present rows are scored
    known_BK: np.ndarray | None = None  # False: whether the image shows it is not known; None: all is known


class DevEvaluation:
    """Call it with a model in evaluation mode: {"mAP/<benchmark>": …}, and mAP_seen and mAP_unseen where both exist."""

    def __init__(self, benchmarks: Sequence[DevBenchmark], inputs: Inputs) -> None:
        self.benchmarks, self._inputs = benchmarks, inputs

    @torch.no_grad()
    def __call__(self, model: RAM) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for benchmark in self.benchmarks:
            scores_BK, known_BK = self.logits(model, benchmark), benchmark.known_BK
            for suffix, chosen_K in _groups(benchmark.seen_K).items():
                known = None if known_BK is None else known_BK[:, chosen_K]
                value = mean_average_precision(scores_BK[:, chosen_K], benchmark.positive_BK[:, chosen_K], known)
                if not np.isnan(value):
                    metrics[f"mAP{suffix}/{benchmark.name}"] = value
        return metrics

    @torch.no_grad()
    def logits(self, model: RAM, benchmark: DevBenchmark) -> np.ndarray:
        """Logits (B, K) of the benchmark's names in its images, float32."""
        embedding_KE = torch.from_numpy(benchmark.embedding_KE).to(model.device)
        if benchmark.tag_id_K is not None:
            embedding_KE = model.tag_embedding_KE[torch.from_numpy(benchmark.tag_id_K).to(model.device)]
        rows = []
        for start in range(0, len(benchmark.image_ids), _BATCH_SIZE):
            inputs = self._inputs.read(benchmark.image_ids[start : start + _BATCH_SIZE], None).to(model.device)
            tokens_BND = model.tail(inputs) if self._inputs.cached else model.encode(inputs)
            rows.append(model.tag_logits(tokens_BND, embedding_KE).float().cpu().numpy())
        return np.concatenate(rows)


def _groups(seen_K: np.ndarray) -> dict[str, np.ndarray]:
    everything = {"": np.ones_like(seen_K)}
    return everything if seen_K.all() or not seen_K.any() else {**everything, "_seen": seen_K, "_unseen": ~seen_K}


def dev_benchmarks(
    model: RAM,
    label_system: LabelSystem,
    images: Table,
    labels: Table,
    benchmarks: Mapping[str, Mapping[str, Any]],
    held_out: Collection[str] = (),
) -> list[DevBenchmark]:
    """The benchmarks with images in split dev. Names that are no tag are embedded by the model's text encoder.

    A model whose tags are learned can say nothing of a name that it does not train: such names are left out, and counted.
    """
    split_images = images.to_pandas(["image_id", "source", "split"])
    split_images = split_images[split_images["split"] == "dev"]
    rows = labels.to_pandas(["image_id", "name"])
    rows = rows[rows["image_id"].isin(set(split_images["image_id"]))]
    found = []
    for benchmark, facts in sorted(benchmarks.items()):
        image_ids = split_images["image_id"][split_images["source"].isin(list(facts["sources"]))].tolist()
        names = list(facts["names"])
        if image_ids and names:
            unseen = {*facts.get("unseen", ()), *held_out}
            seen = {name for name in names if name not in unseen and label_system.find(name) is not None}
            tag_id_K = None
            if model.tag_decoder.learns_tags:
                num_names, names = len(names), [name for name in names if name in seen]
                tag_id_K = np.array([tag.tag_id for tag in map(label_system.find, names) if tag], np.int64)
                _say_left_out(benchmark, num_names - len(names))
            if not names:
                continue
            found.append(
                DevBenchmark(
                    name=benchmark,
                    image_ids=image_ids,
                    names=names,
                    positive_BK=_positives(rows, image_ids, names),
                    seen_K=np.array([name in seen for name in names]),
                    embedding_KE=embed_names(model, label_system, names),
                    tag_id_K=tag_id_K,
                )
            )
    return found


def _say_left_out(benchmark: str, num_names: int) -> None:
    if num_names:
        print(f"{benchmark}: {num_names} names are no learned tag, and not evaluated", file=sys.stderr, flush=True)


def embed_names(model: RAM, label_system: LabelSystem, names: Sequence[str]) -> np.ndarray:
    """embedding_KE, float32: the model's own for a name that is one of its tags, else the text encoder's."""
    tags = [label_system.find(name) for name in names]
    missing = [name for name, tag in zip(names, tags, strict=True) if tag is None]
    own_KE = model.tag_embedding_KE.detach().cpu().numpy()
    embedded = {}
    if missing:
        encoder = make_text_encoder(model.params.text_encoder)
        added = torch.from_numpy(encoder.embed(missing, model.params.templates))
        in_form = model.tag_decoder.from_text(added, model.tag_embedding_KE.detach().cpu()).numpy()
        embedded = dict(zip(missing, in_form, strict=True))
    rows = [embedded[name] if tag is None else own_KE[tag.tag_id] for name, tag in zip(names, tags, strict=True)]
    return np.stack(rows).astype(np.float32)


def _positives(rows: pd.DataFrame, image_ids: Sequence[str], names: Sequence[str]) -> np.ndarray:
    row_of = pd.Index(image_ids).get_indexer(pd.Index(rows["image_id"]))
    column_of = pd.Index(names).get_indexer(pd.Index(rows["name"]))
    both = (row_of >= 0) & (column_of >= 0)
    positive_BK = np.zeros((len(image_ids), len(names)), bool)
    positive_BK[row_of[both], column_of[both]] = True
    return positive_BK
