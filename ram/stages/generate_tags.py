"""preliminary model, images, parsed tags -> generated_tags: what the model adds to the tags of the captions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ram import storage
from ram.catalog import artifact
from ram.data_engine.generate import CaptionParams, Generator, TagLists, calibration_histograms, caption_parser, chunks
from ram.data_engine.thresholds import NEVER, ThresholdParams, Thresholds, precision_thresholds
from ram.data_engine.truth import Truth
from ram.inference.features import FeatureStore
from ram.inference.images import ImageStore
from ram.inference.scorer import Scorer
from ram.label_system import LabelSystem
from ram.model.checkpoint import load_checkpoint
from ram.progress import track
from ram.storage import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    thresholds: ThresholdParams
    max_added: int  # predicted tags that a picture gets at most
    caption: CaptionParams | None  # null: no captions are generated
    num_calibration_images: int  # training pictures on which thresholds of tags without labels are measured
    batch_size: int
    images_per_part: int

    def __post_init__(self) -> None:
        if min(self.batch_size, self.images_per_part) < 1 or min(self.max_added, self.num_calibration_images) < 0:
            raise ValueError(
                "batch_size and images_per_part must be 1 or more, max_added and num_calibration_images 0 or more, got "
                f"{self.batch_size}, {self.images_per_part}, {self.max_added}, {self.num_calibration_images}"
            )


class Inputs(NamedTuple):
    preliminary_model: Path
    images: Table
    image_shards: Path
    image_features: Path
    parsed_tags: Table
    labels: Table
    benchmarks: dict[str, Any]
    label_system: dict[str, Any]
    scratch: Path


class Outputs(NamedTuple):
    generated_tags: Path
    generated_captions: Path
    generation_report: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """Parts of pictures in the order of their shards; finished parts are kept when a killed run goes on."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = load_checkpoint(inputs.preliminary_model, device=device)
    label_system = LabelSystem.from_json(inputs.label_system)
    if checkpoint.label_system.version != label_system.version:
        raise ValueError(
            f"the preliminary model has label system {checkpoint.label_system.version}, the pipeline "
            f"{label_system.version}; run pretrain again"
        )
    store = ImageStore(inputs.images, inputs.image_shards)
    scorer = Scorer(checkpoint, store, FeatureStore(inputs.image_features))
    image_ids = store.in_shard_order([i for i, s in zip(store.image_ids, store.splits, strict=True) if s == "train"])
    thresholds, captioned_threshold_K = _thresholds(inputs, params, scorer, label_system, image_ids)
    generator = Generator(
        scorer=scorer,
        threshold_K=thresholds.threshold_K,
        max_added=params.max_added,
        caption=params.caption,
        captioned_threshold_K=captioned_threshold_K,
        parse=caption_parser(label_system, params.caption is not None and params.caption.implied_parents),
        batch_size=params.batch_size,
    )
    tags_dir, captions_dir = inputs.scratch / "generated_tags", inputs.scratch / "generated_captions"
    _write_parts(generator, image_ids, inputs.parsed_tags, params.images_per_part, tags_dir, captions_dir)
    report = _report(Table(tags_dir, _schema("generated_tags")), thresholds, label_system, len(image_ids))
    return Outputs(generated_tags=tags_dir, generated_captions=captions_dir, generation_report=report)


def _schema(name: str) -> Any:
    return artifact(name).schema


def _thresholds(
    inputs: Inputs, params: Params, scorer: Scorer, label_system: LabelSystem, image_ids: list[str]
) -> tuple[Thresholds, np.ndarray]:
    """Of tags that the model adds by itself; and, as an array, of those that its captions name."""
    truth = Truth(inputs.labels, inputs.benchmarks, inputs.images, label_system, split="dev")
    num_sampled = min(params.num_calibration_images, len(image_ids))
    sample = np.random.default_rng(params.seed).choice(len(image_ids), num_sampled, replace=False)
    histograms = calibration_histograms(
        scorer, truth, [image_ids[i] for i in np.sort(sample)], inputs.parsed_tags, params.batch_size
    )
    kinds = [tag.kind for tag in label_system.tags]
    names = {name for facts in inputs.benchmarks.values() for name in facts["unseen"]}
    unseen = [tag.tag_id for name in names if (tag := label_system.find(name)) is not None]
    thresholds = precision_thresholds(*histograms, kinds, params.thresholds).without(unseen)
    if params.caption is None or params.caption.min_precision is None:
        captioned_threshold_K = np.zeros(len(kinds))
        captioned_threshold_K[unseen] = NEVER
        return thresholds, captioned_threshold_K
    lower = dataclasses.replace(params.thresholds, target_precision=params.caption.min_precision)
    return thresholds, precision_thresholds(*histograms, kinds, lower).without(unseen).threshold_K


def _write_parts(
    generator: Generator, image_ids: list[str], parsed: Table, images_per_part: int, tags_dir: Path, captions_dir: Path
) -> None:
    known = TagLists(parsed, image_ids)
    parts = list(chunks(len(image_ids), images_per_part)) or [(0, 0)]
    for index, (start, stop) in enumerate(track(parts, "generating tags", unit="part")):
        if storage.part_path(tags_dir, index).exists():
            continue
        tags, captions = generator.run(image_ids[start:stop], known.of(start, stop))
        tags["model_version"] = generator.scorer.checkpoint.version
        # The tags last: a part that has them is whole.
        for rows, directory in ((captions, captions_dir), (tags, tags_dir)):
            schema = _schema(directory.name)
            storage.write_part(storage.as_arrow(rows, schema), directory, index, schema)


def _report(tags: Table, thresholds: Thresholds, label_system: LabelSystem, num_images: int) -> dict[str, Any]:
    """Counts by origin, the thresholds, and the precision to expect of the predicted tags (null without any)."""
    origins: Counter[str] = Counter()
    predicted_K = np.zeros(len(label_system), dtype=np.int64)
    for batch in tags.batches(["tag_id", "origin"]):
        origin = np.asarray(batch["origin"].to_pylist(), dtype=object)
        origins.update(origin.tolist())
        predicted_K += np.bincount(batch["tag_id"].to_numpy()[origin == "predicted"], minlength=len(label_system))
    has = np.isfinite(thresholds.precision_K)
    weights = predicted_K[has]
    precision = float((thresholds.precision_K[has] * weights).sum() / weights.sum()) if weights.sum() else None
    return {
        "num_images": num_images,
        "num_tags_by_origin": dict(origins),
        "num_tags_per_image": sum(origins.values()) / max(num_images, 1),
        "estimated_precision_of_predicted": precision,
        "num_thresholds_by_basis": dict(Counter(b for b, found in zip(thresholds.basis, has, strict=True) if found)),
        "num_tags_never_predicted": int((~has).sum()),
        "thresholds": {
            tag.name: {
                "threshold": float(thresholds.threshold_K[tag.tag_id]),
                "estimated_precision": float(thresholds.precision_K[tag.tag_id]),
                "basis": thresholds.basis[tag.tag_id],
                "num_predicted": int(predicted_K[tag.tag_id]),
            }
            for tag in label_system.tags
            if has[tag.tag_id]
        },
    }
