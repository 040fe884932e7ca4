"""Human labels -> finetuned model: the last step, on few images whose labels are complete over the names labeled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.model.checkpoint import load_checkpoint
from ram.training.distributed import Processes
from ram.training.examples import Examples, examples_from_labels, examples_from_tags
from ram.training.inputs import make_inputs
from ram.training.params import TrainingParams
from ram.training.sampler import Corpus
from ram.training.setup import (
    Evaluation,
    add_tags,
    labeled_names,
    resized,
    save_model,
    train_model,
    trainable_tags,
)

SHARED_BY_PROCESSES = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    training: TrainingParams
    mix_share: float = 0.0  # of an epoch's images: from split train with cleaned tags, so that other tags stay alive
    held_out_names: tuple[str, ...] = ()  # labeled names that are left out, to measure what unseen tags are worth
    image_size: int | None = None  # side in pixels from here on; null: as before (RAM: 224, then 384)

    def __post_init__(self) -> None:
        if not 0 <= self.mix_share < 1:
            raise ValueError(f"mix_share must be in [0, 1), got {self.mix_share}")
        if self.training.loss.alignment_weight:
            raise ValueError(
                f"loss.alignment_weight must be 0 in finetune, got {self.training.loss.alignment_weight}: "
                "images with labels have no captions"
            )


class Inputs(NamedTuple):
    images: Table
    image_shards: Path
    image_features: Path
    pairs: Table
    labels: Table  # of splits finetune and dev alone
    benchmarks: dict[str, Any]
    cleaned_tags: Table
    cleaned_tags_check: dict[str, Any]
    retrained_model: Path
    scratch: Path


class Outputs(NamedTuple):
    finetuned_model: Path
    finetuned_curves: pd.DataFrame


def run(inputs: Inputs, params: Params) -> Outputs:
    """The finetuned model has the retrained one's tags, and after them the labeled names that were none."""
    processes = Processes()
    start = load_checkpoint(inputs.retrained_model)
    model = resized(start.model, params.image_size)
    names = labeled_names(inputs.images, inputs.benchmarks, "finetune", params.held_out_names)
    label_system = start.label_system.extended([name for group in names.values() for name in group])
    add_tags(model, label_system)
    model.to(processes.device)
    known_K = trainable_tags(label_system, inputs.benchmarks, params.held_out_names)
    with processes.main_first():
        main = _labeled_examples(inputs, label_system, names, known_K)
        extra = None
        if params.mix_share:
            # The table of cleaned tags knows nothing of tags that were added here.
            old_K = known_K & (np.arange(len(known_K)) < len(start.label_system))
            extra = examples_from_tags(
                inputs.scratch / "train", inputs.images, inputs.pairs, inputs.cleaned_tags, old_K,
                predicted_target=params.training.batch.predicted_target,
            )  # fmt: skip
    corpus = Corpus(main, extra, params.mix_share)
    labeled_K = np.any([examples.known_K for examples in main], axis=0)
    curves = train_model(
        model,
        label_system,
        corpus,
        make_inputs(model, inputs.images, inputs.image_shards, inputs.image_features, params.training),
        params.training,
        Evaluation(inputs.images, inputs.labels, inputs.benchmarks, params.held_out_names),
        inputs.scratch,
        seed=params.seed,
        processes=processes,
        description="finetune",
        preferred_tags=np.flatnonzero(labeled_K).tolist(),
    )
    facts = {
        "stage": "finetune",
        "finetuned_tags": [label_system.names[tag_id] for tag_id in np.flatnonzero(labeled_K)],
        **dataclasses.asdict(params),
    }
    directory = save_model(inputs.scratch / "model", model, label_system, corpus, processes, facts)
    return Outputs(finetuned_model=directory, finetuned_curves=curves)


def _labeled_examples(
    inputs: Inputs, label_system: LabelSystem, names: dict[frozenset[str], list[str]], known_K: np.ndarray
) -> tuple[Examples, ...]:
    """Examples of split finetune: one set for the sources that are labeled over the same names."""
    if not names:
        raise ValueError("no image of split finetune is labeled by a benchmark; give the sources such an image")
    found = []
    for number, (sources, group) in enumerate(sorted(names.items(), key=lambda item: sorted(item[0]))):
        tag_id_of = {name: tag.tag_id for name in group if (tag := label_system.find(name)) and known_K[tag.tag_id]}
        directory = inputs.scratch / f"finetune-{number}"
        found.append(
            examples_from_labels(
                directory, inputs.images, inputs.labels, sources, "finetune", tag_id_of, len(label_system)
            )
        )
    return tuple(found)
