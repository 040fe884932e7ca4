"""A checkpoint and a table of one's own tags -> a finetuned checkpoint with thresholds of its own."""

# B pictures held out, K tags of the table

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ram.disk import disk_explained
from ram.evaluation.fitting import ThresholdParams, fit_thresholds
from ram.evaluation.thresholds import TagScores
from ram.inference.embedding import embed_images
from ram.inference.features import FeatureStore
from ram.inference.tagger import THRESHOLDS_FILE, load
from ram.label_system import LabelSystem
from ram.locks import exclusive
from ram.model.checkpoint import LABELS, Checkpoint, complete_label_system
from ram.own_tags.labels import Prepared, prepare
from ram.own_tags.pictures import PictureFolder, write_images
from ram.storage import move_into_place, read_json, write_json, write_text
from ram.training.assemble import add_tags, resized, save_model, train_model
from ram.training.augment import AugmentParams
from ram.training.batches import BatchParams, Inputs
from ram.training.dev import DevBenchmark, DevEvaluation
from ram.training.examples import examples_from_rows
from ram.training.inputs import FeatureInputs, PictureInputs, view_maker
from ram.training.metrics import average_precisions
from ram.training.order import Corpus
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.processes import Processes
from ram.training.schedule import ScheduleParams

# No colour operations: one's own tags may well be colours.
_AUGMENT = AugmentParams(min_scale=0.5, num_operations=0)
THRESHOLDS = ThresholdParams(
    target="f1",
    min_precision=0.8,
    prior_positives=10.0,
    min_kind_positives=50,
    min_open_set_positives=50,
    open_set_factor=0.8,
    calibration="platt",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """The knobs of a fine-tuning on one's own tags."""

    epochs: int = 10
    learning_rate: float = 5e-4  # peak, of everything but the backbone
    backbone_factor: float = 0.1  # the backbone's learning rate, relative to that
    batch_size: int = 32
    image_size: int | None = None  # side in pixels from here on; None: as before
    num_views: int = 4  # of a frozen backbone: views of a picture that are computed once and trained on
    dev_share: float = 0.1  # of the pictures, held out
    complete: bool = False  # what a picture's rows do not name is absent; False: it is unknown
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.dev_share < 1:
            raise ValueError(f"dev_share must be in [0, 1), got {self.dev_share}")
        if self.num_views < 1:
            raise ValueError(f"num_views must be at least 1, the plain picture, got {self.num_views}")
        self.training()

    def training(self) -> TrainingParams:
        return TrainingParams(
            epochs=self.epochs,
            batch=BatchParams(batch_size=self.batch_size),
            optimizer=OptimizerParams(
                learning_rate=self.learning_rate,
                backbone_factor=self.backbone_factor,
                decay_vectors=False,
                clip_norm=2.0,
            ),
            schedule=ScheduleParams(kind="onecycle", warmup_share=0.15),
            augment=_AUGMENT,
        )


@dataclass(frozen=True)
class Result:
    """What came of it. `tags` has tag, new, num_positives, num_negatives, AP_before and AP_after (NaN: not judged)."""

    directory: Path
    tags: pd.DataFrame
    quarantine: pd.DataFrame
    quarantine_path: Path
    num_train: int
    num_dev: int


def finetune(table: Path, pictures: Path | None, model: str, out: Path, params: Params) -> Result:
    """Write the checkpoint `out`, in one piece. A killed run, started again with the same arguments, goes on.

    `pictures` is the folder that paths are relative to; None: the table's. `ValueError` as of `prepare`, where `out`
    is there already, where the disk is full, and where the model's text encoder cannot embed the new tags. A second run for
    the same `out` waits for the first.
    """

    def wait() -> None:
        print(f"another process makes {out}; waiting for it", file=sys.stderr, flush=True)

    with exclusive(_lock(out), wait), disk_explained(out.parent, "the fine-tuning"):
        return _finetune(table, pictures, model, out, params)


def _lock(out: Path) -> Path:
    """Not beside `out`, where it would stay."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(
        tempfile.gettempdir(),
        f"ram-finetune-{user}-{hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]}.lock",
    )


def _finetune(table: Path, pictures: Path | None, model: str, out: Path, params: Params) -> Result:
    if out.exists():
        raise ValueError(f"{out} is there already; name another folder with --out, or remove it")
    processes = Processes()
    if processes.world_size > 1:
        raise ValueError("this command trains in one process; start it without torchrun or accelerate")
    start = load(model).checkpoint
    root, quarantine = pictures or table.parent, out.with_name(f"{out.name}.quarantine.csv")
    prepared = prepare(
        table, root, start.label_system, quarantine, complete=params.complete, dev_share=params.dev_share
    )
    scratch = out.with_name(f".{out.name}.unfinished") / _key(prepared, start, params)
    scratch.mkdir(parents=True, exist_ok=True)
    result = _Run(prepared, start, params, root, scratch, processes).run()
    move_into_place(scratch / "model", out)
    shutil.rmtree(scratch.parent)
    return dataclasses.replace(result, directory=out, quarantine_path=quarantine)


def _key(prepared: Prepared, start: Checkpoint, params: Params) -> str:
    """Runs of one key do the same."""
    labels = prepared.targets().to_csv(index=False)
    facts = [start.version, dataclasses.asdict(params), sorted(prepared.hash_of.items()), labels]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


class _Run:
    def __init__(
        self,
        prepared: Prepared,
        start: Checkpoint,
        params: Params,
        root: Path,
        scratch: Path,
        processes: Processes,
    ) -> None:
        self.prepared, self.start, self.params, self.scratch, self.processes = (
            prepared, start, params, scratch, processes,
        )  # fmt: skip
        self.label_system: LabelSystem = prepared.labels.label_system
        self.model = resized(start.model, params.image_size)
        self._add_tags()
        self.model.to(processes.device)
        self.images = write_images(scratch / "images", list(prepared.hash_of), params.dev_share)
        self.store = PictureFolder(self.images, root)
        self.dev_ids = [i for i in self.store.image_ids if self.store.split_of(i) == "dev"]

    def _add_tags(self) -> None:
        new = self.label_system.names[len(self.start.label_system) :]
        try:
            add_tags(self.model, self.label_system)
        except ValueError as error:
            raise ValueError(
                f"the model has no tag {', '.join(map(repr, new))}, and its text encoder cannot be had to add them: {error}"
            ) from error

    def run(self) -> Result:
        inputs, known_K = self._inputs(), np.zeros(len(self.label_system), bool)
        known_K[self.prepared.tag_ids] = True
        examples = examples_from_rows(
            self.scratch / "examples",
            self.images,
            "finetune",
            self.prepared.targets(),
            known_K,
            complete=self.params.complete,
        )
        dev = self._dev()
        evaluation, before_BK = DevEvaluation(dev, inputs), None
        if dev:
            before_BK = evaluation.logits(self.model.eval(), dev[0])
        corpus = Corpus((examples,))
        curves = train_model(
            self.model,
            self.label_system,
            corpus,
            inputs,
            self.params.training(),
            dev,
            self.scratch,
            seed=self.params.seed,
            processes=self.processes,
            description="finetune",
        )
        after_BK = evaluation.logits(self.model, dev[0]) if dev else None
        tags = self._tags(dev, before_BK, after_BK)
        partial = self.scratch / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        facts = {
            "stage": "own_tags",
            "start": self.start.version,
            "finetuned_tags": tags["tag"].tolist(),
            **dataclasses.asdict(self.params),
        }
        save_model(partial, self.model, self.label_system, corpus, self.processes, facts)
        self._write_thresholds(partial, dev, after_BK)
        write_text(tags.to_csv(index=False), partial / "tags.csv")
        write_text(curves.to_csv(index=False), partial / "curves.csv")
        move_into_place(partial, self.scratch / "model")
        num_dev = len(self.dev_ids)
        return Result(
            partial, tags, self.prepared.labels.quarantine, partial, len(self.store) - num_dev, num_dev
        )  # fmt: skip

    def _inputs(self) -> Inputs:
        """Stored features where a part of the image encoder is frozen, else the pictures."""
        model, preprocess = self.model, self.model.preprocess
        if model.params.num_frozen_blocks == 0:
            return PictureInputs(self.store, preprocess, _AUGMENT)
        directory = self.scratch / "features"
        embed_images(
            directory,
            self.store,
            model.image_encoder,
            view_maker(self.store, preprocess, _AUGMENT, self.params.seed),
            image_size=preprocess.image_size,
            num_views=self.params.num_views,
            augmented_splits=("finetune",),
            batch_size=16,
            device=self.processes.device,
            precision="fp32",
            facts={"fingerprint": model.trunk_fingerprint()},
        )
        return FeatureInputs(FeatureStore(directory))

    def _dev(self) -> list[DevBenchmark]:
        if not self.dev_ids or not self.params.dev_share:
            return []
        positive_BK, known_BK = self.prepared.truth(self.dev_ids)
        tag_ids = self.prepared.tag_ids
        return [
            DevBenchmark(
                name="own",
                image_ids=self.dev_ids,
                names=[self.label_system.names[tag_id] for tag_id in tag_ids],
                positive_BK=positive_BK,
                seen_K=np.ones(len(tag_ids), bool),
                embedding_KE=self.model.tag_embedding_KE.detach().cpu().numpy()[tag_ids],
                tag_id_K=np.asarray(tag_ids, np.int64),
                known_BK=known_BK,
            )
        ]

    def _tags(self, dev: list[DevBenchmark], before_BK: np.ndarray | None, after_BK: np.ndarray | None) -> pd.DataFrame:
        tag_ids = self.prepared.tag_ids
        num_positives, num_negatives = self.prepared.counts()
        tags = pd.DataFrame({"tag": [self.label_system.names[tag_id] for tag_id in tag_ids]})
        tags["new"] = [tag_id >= len(self.start.label_system) for tag_id in tag_ids]
        tags["num_positives"] = num_positives
        tags["num_negatives"] = num_negatives
        for name, scores_BK in (("AP_before", before_BK), ("AP_after", after_BK)):
            tags[name] = np.nan
            if scores_BK is not None:
                tags[name] = average_precisions(scores_BK, dev[0].positive_BK, dev[0].known_BK)
        return tags

    def _write_thresholds(self, directory: Path, dev: list[DevBenchmark], after_BK: np.ndarray | None) -> None:
        """Of the table's tags as fitted on the pictures held out; of all others the start's, where it has some."""
        path = self.start.directory / THRESHOLDS_FILE
        document: dict[str, Any] = read_json(path) if path.is_file() else {}
        if dev and after_BK is not None:
            fitted = fit_thresholds(_tag_scores(dev[0], after_BK, self.label_system), [], THRESHOLDS)
            kept = {name: document[name] for name in ("default", "open_set") if name in document}
            document = fitted | kept | {"tags": {**document.get("tags", {}), **fitted["tags"]}}
        if document:
            write_json(document, directory / THRESHOLDS_FILE)
            write_json(complete_label_system(directory, document).to_json(), directory / LABELS)


def _tag_scores(dev: DevBenchmark, logits_BK: np.ndarray, label_system: LabelSystem) -> list[TagScores]:
    """The scores of every tag in the pictures for which it is known."""
    scores_BK = 1 / (1 + np.exp(-logits_BK.astype(np.float64)))
    known_BK = np.ones(scores_BK.shape, bool) if dev.known_BK is None else dev.known_BK
    found = []
    for k, name in enumerate(dev.names):
        tag, known = label_system.find(name), known_BK[:, k]
        kind = tag.kind if tag else "object"
        found.append(TagScores(name, kind, scores_BK[known, k], dev.positive_BK[known, k], np.flatnonzero(known)))
    return found
