"""generator model, images, parsed tags -> tag_scores, generated_captions: what one look of the model at every image gives."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ram.data_engine.ground_truth import Truth
from ram.data_engine.score import CaptionParams, Looker, columns_of_tags
from ram.data_engine.tag_lists import Known, TagLists
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.inference.scorer import kept_scorer
from ram.io import tables as storage
from ram.io.progress import track
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.model.checkpoint import checkpoint_version
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import Engine, Lazy
from ram.pipeline.part_cache import KeptParts


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    top_k: int  # scores that are kept of an image at most, beside those of the tags that it has
    floor: float  # no other score under this is kept
    caption: CaptionParams | None  # null: no captions are written
    batch_size: int
    images_per_part: int

    def __post_init__(self) -> None:
        if min(self.batch_size, self.images_per_part, self.top_k) < 1:
            raise ValueError(
                "top_k, batch_size and images_per_part must be 1 or more, got "
                f"{self.top_k}, {self.batch_size}, {self.images_per_part}"
            )
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor must be in [0, 1), got {self.floor}")


class Inputs(NamedTuple):
    generator_model: Path
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
    tag_scores: Path
    generated_captions: Path
    score_report: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """Parts of images of split train in the order of their shards, then of those of split dev that have labels.

    Finished parts are kept when a killed run goes on; images that the same model has looked at before, with the same
    tags, are not looked at again.
    """
    label_system = LabelSystem.from_json(inputs.label_system)
    model = (inputs.generator_model, checkpoint_version(inputs.generator_model))
    column_K = columns_of_tags(label_system, kept_scorer(*model).checkpoint.label_system)
    store, features = ImageStore(inputs.images, inputs.image_shards), FeatureStore(inputs.image_features)
    look = _Look(model, params, column_K, inputs.scratch)
    work = _Work.of(store, inputs, label_system, params.images_per_part)

    def part(index: int) -> _Part:
        split, ids = work.images(index)
        return _Part(index, split, ids, work.known(index)[:2], store.subset(ids), features.subset(ids))

    kept = KeptParts(
        None if inputs.state is None else inputs.state / "parts",
        model[1], dataclasses.asdict(params), label_system.version,
    )  # fmt: skip
    keys = [kept.key(content) for content in work.content(inputs.images)]
    files = [look.files(i) for i in range(len(work.parts))]
    missing = [i for i in range(len(work.parts)) if not storage.part_path(look.scores_dir, i).exists()]
    missing = [i for i in missing if not kept.restore(keys[i], files[i])]
    kept.tell("scoring images", len(work.parts))
    results = inputs.engine.for_models().map(look, Lazy(part, missing))
    for _ in track(results, "scoring images", len(missing), "part"):
        pass
    for key, mine in zip(keys, files, strict=True):
        kept.keep(key, mine)
    kept.forget_others(keys)
    return Outputs(
        tag_scores=look.scores_dir,
        generated_captions=look.captions_dir,
        score_report=_report(look, params, column_K),
    )


@dataclass(frozen=True)
class _Work:
    """The images to look at, part by part, and the tags that they have."""

    image_ids: dict[str, list[str]]  # by split
    tags: dict[str, TagLists]
    parts: list[tuple[str, int, int]]  # split, start, stop

    @classmethod
    def of(cls, store: ImageStore, inputs: Inputs, label_system: LabelSystem, size: int) -> _Work:
        truth = Truth(inputs.labels, inputs.benchmarks, inputs.images, label_system, split="dev")
        image_ids = {"train": store.of_split("train"), "dev": store.in_shard_order(truth.image_ids)}
        parts = [(split, *bounds) for split, ids in image_ids.items() for bounds in chunks_of_sources(ids, size)]
        tags = {split: TagLists(inputs.parsed_tags, ids) for split, ids in image_ids.items()}
        return cls(image_ids, tags, parts or [("train", 0, 0)])

    def images(self, part: int) -> tuple[str, list[str]]:
        split, start, stop = self.parts[part]
        return split, self.image_ids[split][start:stop]

    def known(self, part: int) -> Known:
        split, start, stop = self.parts[part]
        return self.tags[split].of(start, stop)

    def content(self, images: Table) -> Iterator[Any]:
        """What each part is made of: its images, their content and the tags that they have."""
        rows = images.read(["image_id", "sha256"])
        sha256 = dict(zip(rows["image_id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
        for part in range(len(self.parts)):
            split, ids = self.images(part)
            known_images, tag_ids, _ = self.known(part)
            yield split, [(image_id, sha256[image_id]) for image_id in ids], known_images.tolist(), tag_ids.tolist()


@dataclass(frozen=True, slots=True)
class _Part:
    """Some images with all that is known of them."""

    index: int
    split: str
    image_ids: list[str]
    known: tuple[np.ndarray, np.ndarray]  # image and tag id
    images: ImageStore
    features: FeatureStore


@dataclass(frozen=True)
class _Look:
    """Writes a part of both tables, in whichever process it is called; what it loads for that is kept there."""

    model: tuple[Path, str]  # folder and version
    params: Params
    column_K: np.ndarray
    scratch: Path

    @property
    def scores_dir(self) -> Path:
        return self.scratch / "tag_scores"

    @property
    def captions_dir(self) -> Path:
        return self.scratch / "generated_captions"

    def files(self, part: int) -> dict[str, Path]:
        """The files of a part. The scores last: a part that has them is whole."""
        folders = {"captions.parquet": self.captions_dir, "scores.parquet": self.scores_dir}
        return {name: storage.part_path(folder, part) for name, folder in folders.items()}

    def __call__(self, part: _Part) -> None:
        params = self.params
        looker = Looker(
            scorer=kept_scorer(*self.model).over(part.images, part.features),
            column_K=self.column_K,
            top_k=params.top_k,
            floor=params.floor,
            caption=params.caption if part.split == "train" else None,
            seed=params.seed,
            batch_size=params.batch_size,
        )
        kept, captions = looker.run(part.image_ids, part.known)
        tag_ids, scores = kept.to_arrow()
        num = len(part.image_ids)
        columns = [pa.array(values, pa.string()) for values in (part.image_ids, [part.split] * num)]
        columns += [tag_ids, scores, pa.array([self.model[1]] * num, pa.string())]
        schema = _schema("tag_scores")
        if part.split == "train":
            storage.write_part(captions, self.captions_dir, part.index, _schema("generated_captions"))
        storage.write_part(pa.table(columns, names=schema.names), self.scores_dir, part.index, schema)


def chunks_of_sources(image_ids: Sequence[str], size: int) -> Iterator[tuple[int, int]]:
    """Starts and stops of parts of `size` images of one source: a source that grows moves no part of another."""
    start = 0
    for _, ids in itertools.groupby(image_ids, key=lambda image_id: image_id.partition("/")[0]):
        num = sum(1 for _ in ids)
        yield from ((start + a, start + min(a + size, num)) for a in range(0, num, size))
        start += num


def _schema(name: str) -> Any:
    return artifact(name).schema


def _report(look: _Look, params: Params, column_K: np.ndarray) -> dict[str, Any]:
    """What was looked at by which model, and how much of it was kept."""
    num_images: dict[str, int] = {}
    num_scores = num_full = num_bytes = 0
    for path in Table(look.scores_dir, _schema("tag_scores")).part_paths:
        num_bytes += path.stat().st_size
        rows = pq.read_table(path, columns=["split", "tag_ids"])
        lengths = rows["tag_ids"].combine_chunks().value_lengths().to_numpy()
        num_scores, num_full = num_scores + int(lengths.sum()), num_full + int((lengths >= params.top_k).sum())
        for count in rows["split"].value_counts().to_pylist():
            num_images[count["values"]] = num_images.get(count["values"], 0) + count["counts"]
    total = max(sum(num_images.values()), 1)
    return {
        "model_version": look.model[1],
        "top_k": params.top_k,
        "floor": params.floor,
        "num_images": num_images,
        "num_scores_per_image": num_scores / total,
        "share_of_images_with_top_k": num_full / total,
        "num_bytes_per_image": num_bytes / total,
        "num_tags_scored": int((column_K >= 0).sum()),
        "num_tags_not_scored": int((column_K < 0).sum()),
    }
