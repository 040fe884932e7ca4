"""preliminary model, images, parsed tags -> generated_tags: what the model adds to the tags of the captions."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ram import storage
from ram.catalog import artifact
from ram.data_engine.generate import CaptionParams, Generator, TagLists, calibration_histograms, caption_parser, chunks
from ram.data_engine.thresholds import NEVER, ThresholdParams, Thresholds, precision_thresholds
from ram.data_engine.truth import Truth
from ram.engine import Engine, Lazy
from ram.inference.features import FeatureStore
from ram.inference.images import ImageStore
from ram.inference.scorer import Scorer, kept_scorer
from ram.kept_parts import KeptParts
from ram.label_system import LabelSystem
from ram.model.checkpoint import checkpoint_version
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
    engine: Engine
    state: Path | None = None


class Outputs(NamedTuple):
    generated_tags: Path
    generated_captions: Path
    generation_report: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """Parts of pictures in the order of their shards; finished parts are kept when a killed run goes on.

    Where the preliminary model is that of the last run, so are its thresholds, and pictures that it has looked at with
    the same tags are not looked at again.
    """
    label_system = LabelSystem.from_json(inputs.label_system)
    model = (inputs.preliminary_model, checkpoint_version(inputs.preliminary_model))
    scorer = kept_scorer(*model)
    if scorer.checkpoint.label_system.version != label_system.version:
        raise ValueError(
            f"the preliminary model has label system {scorer.checkpoint.label_system.version}, the pipeline "
            f"{label_system.version}; run pretrain again"
        )
    store, features = ImageStore(inputs.images, inputs.image_shards), FeatureStore(inputs.image_features)
    image_ids = store.of_split("train")
    calibrated = kept_thresholds(
        None if inputs.state is None else inputs.state / "thresholds",
        [model[1], dataclasses.asdict(params), storage.content_hash(inputs.labels.path), inputs.benchmarks],
        lambda: _thresholds(inputs, params, scorer.over(store, features), label_system, image_ids),
    )
    generate = _Generate(model, params, calibrated[0].threshold_K, calibrated[1], inputs.scratch)
    known = TagLists(inputs.parsed_tags, image_ids)
    bounds = list(chunks_of_sources(image_ids, params.images_per_part)) or [(0, 0)]

    def part(index: int) -> _Part:
        start, stop = bounds[index]
        mine = image_ids[start:stop]
        return _Part(index, mine, known.of(start, stop), store.subset(mine), features.subset(mine))

    kept = KeptParts(
        None if inputs.state is None else inputs.state / "parts",
        model[1], dataclasses.asdict(params), calibrated[0].threshold_K.tolist(), calibrated[1].tolist(),
    )  # fmt: skip
    keys = [kept.key(content) for content in _content(inputs.images, known, image_ids, bounds)]
    files = [_files(generate, i) for i in range(len(bounds))]
    missing = [i for i in range(len(bounds)) if not storage.part_path(generate.tags_dir, i).exists()]
    missing = [i for i in missing if not kept.restore(keys[i], files[i])]
    kept.tell("generating tags", len(bounds))
    results = inputs.engine.for_models().map(generate, Lazy(part, missing))
    for _ in track(results, "generating tags", len(missing), "part"):
        pass
    for key, mine in zip(keys, files, strict=True):
        kept.keep(key, mine)
    kept.forget_others(keys)
    tags = Table(generate.tags_dir, _schema("generated_tags"))
    report = _report(tags, calibrated[0], label_system, len(image_ids))
    return Outputs(generated_tags=generate.tags_dir, generated_captions=generate.captions_dir, generation_report=report)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some pictures with all that is known of them."""

    index: int
    image_ids: list[str]
    known: tuple[np.ndarray, np.ndarray, np.ndarray]  # as TagLists gives them
    images: ImageStore
    features: FeatureStore


@dataclass(frozen=True)
class _Generate:
    """Writes a part of both tables, in whichever process it is called; what it loads for that is kept there."""

    model: tuple[Path, str]  # folder and version
    params: Params
    threshold_K: np.ndarray
    captioned_threshold_K: np.ndarray
    scratch: Path

    @property
    def tags_dir(self) -> Path:
        return self.scratch / "generated_tags"

    @property
    def captions_dir(self) -> Path:
        return self.scratch / "generated_captions"

    def __call__(self, part: _Part) -> None:
        caption = self.params.caption
        generator = Generator(
            scorer=kept_scorer(*self.model).over(part.images, part.features),
            threshold_K=self.threshold_K,
            max_added=self.params.max_added,
            caption=caption,
            captioned_threshold_K=self.captioned_threshold_K,
            parse=_kept_parser(*self.model, caption is not None and caption.implied_parents),
            batch_size=self.params.batch_size,
        )
        tags, captions = generator.run(part.image_ids, part.known)
        tags["model_version"] = self.model[1]
        # The tags last: a part that has them is whole.
        for rows, directory in ((captions, self.captions_dir), (tags, self.tags_dir)):
            schema = _schema(directory.name)
            storage.write_part(storage.as_arrow(rows, schema), directory, part.index, schema)


def chunks_of_sources(image_ids: Sequence[str], size: int) -> Iterator[tuple[int, int]]:
    """Starts and stops of parts of `size` pictures of one source: a source that grows moves no part of another."""
    start = 0
    for _, ids in itertools.groupby(image_ids, key=lambda image_id: image_id.partition("/")[0]):
        num = sum(1 for _ in ids)
        yield from ((start + a, start + b) for a, b in chunks(num, size))
        start += num


def _content(
    images: Table, known: TagLists, image_ids: Sequence[str], bounds: Sequence[tuple[int, int]]
) -> Iterator[Any]:
    """What each part is made of: its pictures, their content and the tags that they have."""
    rows = images.read(["image_id", "sha256"])
    sha256 = dict(zip(rows["image_id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    for start, stop in bounds:
        pictures = [(image_id, sha256[image_id]) for image_id in image_ids[start:stop]]
        yield pictures, [column.tolist() for column in known.of(start, stop)]


def _files(generate: _Generate, part: int) -> dict[str, Path]:
    """The files of a part. The tags last: a part that has them is whole."""
    folders = {"captions.parquet": generate.captions_dir, "tags.parquet": generate.tags_dir}
    return {name: storage.part_path(folder, part) for name, folder in folders.items()}


def kept_thresholds(
    directory: Path | None, made_of: Any, make: Callable[[], tuple[Thresholds, np.ndarray]]
) -> tuple[Thresholds, np.ndarray]:
    """What `make` gives, or gave before of the same model, knobs and labels: thresholds belong to a model.

    They are measured on training pictures that are drawn anew when there are more of them; were they measured anew, too,
    every picture would have to be looked at again.
    """
    if directory is None:
        return make()
    path = (
        directory / f"{hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:24]}.npz"
    )
    if not path.is_file():
        own, captioned_threshold_K = make()
        directory.mkdir(parents=True, exist_ok=True)
        for other in directory.iterdir():
            other.unlink()
        with (temporary := storage.temporary_path(path)).open("wb") as stream:
            np.savez(
                stream,
                threshold_K=own.threshold_K,
                precision_K=own.precision_K,
                basis=np.array(own.basis, dtype=str),
                captioned_threshold_K=captioned_threshold_K,
            )
        temporary.replace(path)
    with np.load(path, allow_pickle=False) as found:
        thresholds = Thresholds(found["threshold_K"], found["precision_K"], found["basis"].tolist())
        return thresholds, found["captioned_threshold_K"]


@lru_cache(maxsize=1)
def _kept_parser(model_dir: Path, version: str, implied_parents: bool) -> Callable[[Sequence[str]], list[list[int]]]:
    """Of the label system of that model; made once a process."""
    return caption_parser(kept_scorer(model_dir, version).checkpoint.label_system, implied_parents)


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
