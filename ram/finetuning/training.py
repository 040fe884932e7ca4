"""The training on one's own tags: images, examples, held-out images, model and thresholds, in one scratch folder."""

# B images held out, K tags of the table

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ram.datasets.feature_store import FeatureStore
from ram.evaluation.fitting import fit_thresholds
from ram.evaluation.thresholds import TagScores
from ram.finetuning.images import ImageFolder, write_images
from ram.finetuning.labels import Prepared
from ram.finetuning.params import AUGMENT, THRESHOLDS, Params
from ram.inference.embedding import embed_images, view_maker
from ram.inference.tagger import THRESHOLDS_FILE
from ram.io.tables import move_into_place, read_json, write_json, write_text
from ram.labels import LabelSystem
from ram.model.checkpoint import LABELS, Checkpoint, complete_label_system
from ram.training.batches import Inputs
from ram.training.distributed import Processes
from ram.training.examples import examples_from_rows
from ram.training.inputs import FeatureInputs, ImageInputs
from ram.training.metrics import average_precisions
from ram.training.sampler import Corpus
from ram.training.setup import add_tags, resized, save_model, train_model
from ram.training.validation import DevBenchmark, DevEvaluation


@dataclass(frozen=True)
class Result:
    """What came of it. `tags` has tag, new, num_positives, num_negatives, AP_before and AP_after (NaN: not judged)."""

    directory: Path
    tags: pd.DataFrame
    quarantine: pd.DataFrame
    quarantine_path: Path
    num_train: int
    num_dev: int


class OwnTraining:
    """Of one fine-tuning; everything it writes lies under `scratch`, from which a killed one goes on."""

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
        self.store = ImageFolder(self.images, root)
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
        """Stored features where a part of the image encoder is frozen, else the images."""
        model, preprocess = self.model, self.model.preprocess
        if model.params.num_frozen_blocks == 0:
            return ImageInputs(self.store, preprocess, AUGMENT)
        directory = self.scratch / "features"
        embed_images(
            directory,
            self.store,
            model.image_encoder,
            view_maker(self.store, preprocess, AUGMENT, self.params.seed),
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
        """Of the table's tags as fitted on the images held out; of all others the start's, where it has some."""
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
    """The scores of every tag in the images for which it is known."""
    scores_BK = 1 / (1 + np.exp(-logits_BK.astype(np.float64)))
    known_BK = np.ones(scores_BK.shape, bool) if dev.known_BK is None else dev.known_BK
    found = []
    for k, name in enumerate(dev.names):
        tag, known = label_system.find(name), known_BK[:, k]
        kind = tag.kind if tag else "object"
        found.append(TagScores(name, kind, scores_BK[known, k], dev.positive_BK[known, k], np.flatnonzero(known)))
    return found
