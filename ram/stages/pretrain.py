"""Parsed tags and captions -> preliminary model: captioning and tagging are learned together (RAM's second step)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.model.build import build_model
from ram.model.params import ModelParams
from ram.model.tag_embeddings import load_tag_embeddings
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

SHARED_BY_PROCESSES = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    model: ModelParams
    training: TrainingParams
    num_calibration_images: int = 2000  # images that fit the feature statistics, where the model has them


class Inputs(NamedTuple):
    images: Table
    image_shards: Path
    image_features: Path
    pairs: Table
    caption_embeddings: Table
    parsed_tags: Table
    parsed_tags_check: dict[str, Any]
    labels: Table  # of split dev alone: the evaluation in the loop
    benchmarks: dict[str, Any]
    label_system: dict[str, Any]
    tag_embeddings: Path
    scratch: Path


class Outputs(NamedTuple):
    preliminary_model: Path
    preliminary_curves: pd.DataFrame


def run(inputs: Inputs, params: Params) -> Outputs:
    processes = Processes()
    label_system = LabelSystem.from_json(inputs.label_system)
    embedding_KE = load_tag_embeddings(inputs.tag_embeddings, label_system, params.model)
    model = build_model(params.model, embedding_KE, train_captions(inputs.pairs), seed=params.seed)
    model.to(processes.device)
    known_K = trainable_tags(label_system, inputs.benchmarks)
    with processes.main_first():
        examples = examples_from_tags(
            inputs.scratch / "examples", inputs.images, inputs.pairs, inputs.parsed_tags, known_K
        )
    corpus = Corpus((examples,))
    source = make_inputs(model, inputs.images, inputs.image_shards, inputs.image_features, params.training)
    if params.model.standardize_features:
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
        description="pretrain",
        caption_embeddings=inputs.caption_embeddings,
    )
    facts = {"stage": "pretrain", "tags": "parsed_tags", **dataclasses.asdict(params)}
    directory = save_model(inputs.scratch / "model", model, label_system, corpus, processes, facts)
    return Outputs(preliminary_model=directory, preliminary_curves=curves)
