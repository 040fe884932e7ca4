"""A better tag set -> retrained model: RAM's fourth step, on generated tags that were cleaned, or on uncleaned ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from ram.io.tables import Table
from ram.model.build import build_model
from ram.model.checkpoint import load_checkpoint
from ram.training.distributed import Processes
from ram.training.examples import examples_from_tags
from ram.training.inputs import make_inputs
from ram.training.params import TrainingParams
from ram.training.sampler import Corpus
from ram.training.setup import (
    Evaluation,
    fit_standardization,
    save_model,
    train_captions,
    train_model,
    trainable_tags,
)

ITEMS = {
    "cleaned": {
        "tags": "cleaned_tags",
        "tags_check": "cleaned_tags_check",
        "model": "retrained_model",
        "curves": "retrained_curves",
    },
    "generated": {
        "tags": "generated_tags",
        "tags_check": "generated_tags_check",
        "model": "retrained_uncleaned_model",
        "curves": "retrained_uncleaned_curves",
    },
}

SHARED_BY_PROCESSES = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    training: TrainingParams
    start_from: Literal["preliminary", "pretrained"]  # the preliminary model's weights, or the backbone's alone
    num_calibration_images: int = 2000  # where the model starts anew: images that fit its feature statistics


class Inputs(NamedTuple):
    images: Table
    image_shards: Path
    image_features: Path
    pairs: Table
    caption_embeddings: Table
    tags: Table
    tags_check: dict[str, Any]
    labels: Table  # of split dev alone: the evaluation in the loop
    benchmarks: dict[str, Any]
    preliminary_model: Path
    scratch: Path


class Outputs(NamedTuple):
    model: Path
    curves: pd.DataFrame


def run(inputs: Inputs, params: Params) -> Outputs:
    """The retrained model has the preliminary one's architecture and tags."""
    processes = Processes()
    start = load_checkpoint(inputs.preliminary_model)
    model, label_system = start.model, start.label_system
    if params.start_from == "pretrained":
        embedding_KE = model.tag_embedding_KE
        model = build_model(start.params, embedding_KE, train_captions(inputs.pairs), seed=params.seed)
    model.to(processes.device)
    known_K = trainable_tags(label_system, inputs.benchmarks)
    with processes.main_first():
        target = params.training.batch.predicted_target
        directory = inputs.scratch / "examples"
        examples = examples_from_tags(
            directory, inputs.images, inputs.pairs, inputs.tags, known_K, predicted_target=target
        )
    corpus = Corpus((examples,))
    source = make_inputs(model, inputs.images, inputs.image_shards, inputs.image_features, params.training)
    if params.start_from == "pretrained" and model.params.standardize_features:
        fit_standardization(model, corpus, source, params.num_calibration_images, params.seed)
    curves = train_model(
        model,
        label_system,
        corpus,
        source,
        params.training,
        Evaluation(inputs.images, inputs.labels, inputs.benchmarks),
        inputs.scratch,
        seed=params.seed,
        processes=processes,
        description="retrain",
        caption_embeddings=inputs.caption_embeddings,
    )
    facts = {"stage": "retrain", "tags": inputs.tags.path.name, **dataclasses.asdict(params)}
    directory = save_model(inputs.scratch / "model", model, label_system, corpus, processes, facts)
    return Outputs(model=directory, curves=curves)
