"""A model and tables -> what the loop needs, and the trained model's folder: what the training stages share."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import torch

from ram.io.progress import track
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.model.checkpoint import save_checkpoint
from ram.model.ram import RAM
from ram.model.text_encoder import make_text_encoder
from ram.training.batches import Batches, Inputs
from ram.training.captions import example_embeddings
from ram.training.distributed import Processes
from ram.training.loop import train
from ram.training.params import TrainingParams
from ram.training.sampler import Corpus
from ram.training.validation import DevBenchmark, DevEvaluation, dev_benchmarks


def trainable_tags(
    label_system: LabelSystem, benchmarks: Mapping[str, Mapping[str, Any]], held_out: Collection[str] = ()
) -> np.ndarray:
    """(K,) bool: False for a tag that a benchmark calls unseen or that is held out, by its name or a synonym.

    Such a tag is neither a positive nor a negative of any image: evaluating it says what an unseen tag is worth.
    """
    names = unseen_names(benchmarks, held_out)
    trainable_K = np.ones(len(label_system), bool)
    for name in names:
        if (tag := label_system.find(name)) is not None:
            trainable_K[tag.tag_id] = False
    if names:
        num_left_out = int((~trainable_K).sum())
        print(f"{num_left_out} tags are never trained: unseen or held-out names", file=sys.stderr, flush=True)
    return trainable_K


def train_captions(pairs: Table) -> Iterator[str]:
    """The captions of split train."""
    for batch in pairs.batches(["split", "caption"]):
        for split, caption in zip(batch["split"].to_pylist(), batch["caption"].to_pylist(), strict=True):
            if split == "train":
                yield caption


def fit_standardization(model: RAM, corpus: Corpus, inputs: Inputs, num_images: int, seed: int) -> None:
    """Set the model's mean and deviation of every feature channel from that many images, plain."""
    order = corpus.epoch_order(seed, 0)[:num_images]
    part, local = corpus.locate(order)
    ids = [corpus.parts[p].image_ids.take([i])[0] for p, i in zip(part, local, strict=True)]

    def features() -> Iterator[Any]:
        for start in track(range(0, len(ids), 32), "standardization", unit="batch"):
            batch = inputs.read(ids[start : start + 32], None).to(model.device)
            yield batch if inputs.cached else model.trunk(batch)

    model.image_encoder.fit_standardization(features())


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The tables that the evaluation in the loop reads."""

    images: Table
    labels: Table
    benchmarks: Mapping[str, Mapping[str, Any]]
    held_out: Collection[str] = ()


def train_model(
    model: RAM,
    label_system: LabelSystem,
    corpus: Corpus,
    inputs: Inputs,
    params: TrainingParams,
    evaluation: Evaluation | Sequence[DevBenchmark],
    scratch: Path,
    *,
    seed: int,
    processes: Processes,
    description: str,
    preferred_tags: Sequence[int] = (),
    caption_embeddings: Table | None = None,
) -> pd.DataFrame:
    """Train the model in place on the corpus; the curves. `preferred_tags` are scored in every step, as they fit.

    `caption_embeddings` is the table that an alignment loss wants. `ValueError` where it is wanted and has no caption of the
    images to train on.
    """
    embeddings = None
    if params.loss.alignment_weight:
        if caption_embeddings is None:
            raise ValueError("an alignment_weight above 0 wants the embeddings of captions, and this training has none")
        with processes.main_first():
            encoder = model.params.text_encoder
            embeddings = [example_embeddings(part, caption_embeddings, encoder) for part in corpus.parts]
        if not any(map(len, embeddings)):
            raise ValueError("an alignment_weight above 0 wants captions, and no image to train on has one")
    wants_captions = params.loss.caption_weight or params.loss.alignment_weight
    batches = Batches(
        corpus,
        inputs,
        params.batch,
        label_system.names,
        seed=seed,
        always=preferred_tags,
        caption_share=params.loss.caption_share if wants_captions else 0.0,
        caption_every=params.loss.caption_every,
        caption_embeddings=embeddings,
        rank=processes.rank,
        world_size=processes.world_size,
    )
    found = evaluation
    if isinstance(found, Evaluation):
        found = dev_benchmarks(model, label_system, found.images, found.labels, found.benchmarks, found.held_out)
    if processes.is_main:
        _say(corpus, batches, params, description, processes)
    return train(
        model,
        batches,
        params,
        scratch,
        evaluate=DevEvaluation(found, inputs) if found else None,
        processes=processes,
        description=description,
    )


def save_model(
    directory: Path,
    model: RAM,
    label_system: LabelSystem,
    corpus: Corpus,
    processes: Processes,
    facts: Mapping[str, Any],
) -> Path:
    """Write the checkpoint, with `facts` on how it was trained; the folder. Only the main process writes."""
    extra = {
        "num_images": sum(map(len, corpus.main)),
        "num_images_without_tags": sum(part.num_left_out for part in corpus.parts),
        **facts,
    }
    if processes.is_main:
        save_checkpoint(directory, model.to("cpu"), label_system, extra)
    processes.wait()
    return directory


def resized(model: RAM, image_size: int | None) -> RAM:
    """The model for images of another size; itself, changed in place."""
    if image_size is not None and image_size != model.params.image_size:
        model.set_image_size(image_size)
    return model


def add_tags(model: RAM, label_system: LabelSystem) -> None:
    """Give the model the tags of `label_system` beyond its own, embedded by its text encoder."""
    new = label_system.names[model.num_tags :]
    if new:
        encoder = make_text_encoder(model.params.text_encoder)
        added = torch.from_numpy(encoder.embed(new, model.params.templates))
        own = model.tag_embedding_KE
        model.set_tags(torch.cat([own, model.tag_decoder.from_text(added.to(own), own)]))


def _say(corpus: Corpus, batches: Batches, params: TrainingParams, description: str, processes: Processes) -> None:
    left_out = sum(part.num_left_out for part in corpus.parts)
    shared = f", {processes}" if processes.world_size > 1 else ""
    kind = "cached features" if batches.inputs.cached else "images"
    print(
        f"{description}: {corpus.epoch_size} {kind} an epoch ({left_out} without a tag left out), "
        f"{params.epochs} epochs of {batches.steps_per_epoch} steps, {len(batches.tag_names)} tags{shared}",
        file=sys.stderr,
        flush=True,
    )


def labeled_names(
    images: Table, benchmarks: Mapping[str, Mapping[str, Any]], split: str, held_out: Collection[str]
) -> dict[frozenset[str], list[str]]:
    """{sources with images in `split` that the same benchmarks label: the names labeled there, trainable alone}."""
    sources: set[str] = set()
    for batch in images.batches(["source", "split"]):
        sources |= set(batch.filter(pc.equal(batch["split"], split))["source"].to_pylist())
    unseen = unseen_names(benchmarks, held_out)
    groups: dict[frozenset[str], set[str]] = {}
    for source in sources:
        mine = frozenset(name for name, facts in benchmarks.items() if source in facts["sources"])
        groups.setdefault(mine, set()).add(source)
    return {
        frozenset(members): [n for n in sorted({n for b in mine for n in benchmarks[b]["names"]}) if n not in unseen]
        for mine, members in groups.items()
        if mine
    }


def unseen_names(benchmarks: Mapping[str, Mapping[str, Any]], held_out: Collection[str] = ()) -> set[str]:
    """The names that must not be trained on."""
    return {*held_out, *(name for facts in benchmarks.values() for name in facts.get("unseen", ()))}
