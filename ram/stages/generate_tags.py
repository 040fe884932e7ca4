"""tag_scores, generated_captions, parsed tags -> generated_tags: what the generator adds to the tags of the captions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from ram.data_engine.generate import (
    CaptionTagParams,
    Generator,
    caption_parser,
    captioned_histogram,
    labeled_histogram,
    score_batches,
)
from ram.data_engine.ground_truth import Truth
from ram.data_engine.sparse_scores import SparseScores
from ram.data_engine.tag_lists import Known, TagLists
from ram.data_engine.thresholds import NEVER, ThresholdParams, Thresholds, precision_thresholds
from ram.io import tables as storage
from ram.io.progress import track
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import Engine, Lazy
from ram.pipeline.part_cache import KeptParts


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    thresholds: ThresholdParams
    max_added: int  # predicted tags that an image gets at most
    caption: CaptionTagParams | None  # null: generated captions add no tags

    def __post_init__(self) -> None:
        if self.max_added < 0:
            raise ValueError(f"max_added must be 0 or more, got {self.max_added}")


class Inputs(NamedTuple):
    tag_scores: Table
    generated_captions: Table
    score_report: dict[str, Any]
    images: Table
    parsed_tags: Table
    labels: Table
    benchmarks: dict[str, Any]
    label_system: dict[str, Any]
    scratch: Path
    engine: Engine
    state: Path | None = None


class Outputs(NamedTuple):
    generated_tags: Path
    generation_report: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """Part i is of the images of part i of tag_scores. No model is asked: its scores are there.

    Where the generator is that of the last run, so are its thresholds, and parts of the same scores, captions and tags
    are taken from there. Finished parts are kept when a killed run goes on.
    """
    label_system = LabelSystem.from_json(inputs.label_system)
    scored = inputs.score_report
    _require_scores(inputs, params)
    parts = _Parts.of(inputs)
    calibrated = kept_thresholds(
        None if inputs.state is None else inputs.state / "thresholds",
        [scored["model_version"], scored["top_k"], scored["floor"], label_system.version, dataclasses.asdict(params),
         storage.content_hash(inputs.labels.path), inputs.benchmarks],
        lambda: _thresholds(inputs, params, parts, label_system),
    )  # fmt: skip
    generate = _Generate(
        json.dumps(inputs.label_system),
        params,
        threshold_K=calibrated[0].threshold_K,
        captioned_threshold_K=calibrated[1],
        scored=scored,
        directory=inputs.scratch / "generated_tags",
    )
    kept = KeptParts(
        None if inputs.state is None else inputs.state / "parts",
        dataclasses.asdict(params), label_system.version, calibrated[0].threshold_K.tolist(), calibrated[1].tolist(),
    )  # fmt: skip
    num_parts = len(parts.scores)
    keys = [kept.key(parts.content(i)) for i in range(num_parts)]
    files = [{"tags.parquet": storage.part_path(generate.directory, i)} for i in range(num_parts)]
    missing = [i for i in range(num_parts) if not files[i]["tags.parquet"].exists()]
    missing = [i for i in missing if not kept.restore(keys[i], files[i])]
    kept.tell("generating tags", num_parts)
    results = inputs.engine.map(generate, Lazy(parts.item, missing))
    for _ in track(results, "generating tags", len(missing), "part"):
        pass
    for key, mine in zip(keys, files, strict=True):
        kept.keep(key, mine)
    kept.forget_others(keys)
    tags = Table(generate.directory, _schema("generated_tags"))
    report = _report(tags, calibrated[0], label_system, scored["num_images"].get("train", 0))
    return Outputs(
        generated_tags=generate.directory, generation_report=report | {"model_version": scored["model_version"]}
    )


def _require_scores(inputs: Inputs, params: Params) -> None:
    """`ValueError` where score_images has not kept or written what the parameters want."""
    scored = inputs.score_report
    if params.thresholds.min_score < scored["floor"]:
        raise ValueError(
            f"generate_tags.thresholds.min_score is {params.thresholds.min_score} and score_images.floor {scored['floor']}: "
            "scores between them were not kept; lower the floor or raise min_score"
        )
    if params.caption is not None and inputs.generated_captions.num_rows == 0 and scored["num_images"].get("train"):
        raise ValueError("generate_tags.caption wants captions, and score_images.caption is null; set both or neither")


@dataclass(frozen=True, slots=True)
class _Part:
    """The files of some train images, and the tags that they have."""

    index: int
    scores: Path
    captions: Path | None
    known: Known


@dataclass(frozen=True)
class _Parts:
    """The parts of tag_scores that have train images, with the tags of these."""

    scores: list[Path]
    captions: list[Path | None]
    starts: list[int]  # of the images of each part among all; and their number
    tags: TagLists

    @classmethod
    def of(cls, inputs: Inputs) -> _Parts:
        scores, captions, starts, image_ids = [], [], [0], []
        written = {path.name: path for path in inputs.generated_captions.part_paths}
        for path in inputs.tag_scores.part_paths:
            rows = pq.read_table(path, columns=["image_id", "split"])
            if rows.num_rows and rows["split"][0].as_py() != "train":
                continue
            image_ids += rows["image_id"].to_pylist()
            scores.append(path)
            captions.append(written.get(path.name))
            starts.append(len(image_ids))
        return cls(scores, captions, starts, TagLists(inputs.parsed_tags, image_ids))

    def known(self, part: int) -> Known:
        return self.tags.of(self.starts[part], self.starts[part + 1])

    def item(self, part: int) -> _Part:
        return _Part(part, self.scores[part], self.captions[part], self.known(part))

    def content(self, part: int) -> Any:
        """What a part is made of: the scores, the captions and the tags of its images."""
        hashes = [storage.content_hash(path) for path in (self.scores[part], self.captions[part]) if path is not None]
        return hashes, [column.tolist() for column in self.known(part)]

    def captioned(self) -> Iterator[tuple[SparseScores, Known]]:
        for part, path in enumerate(self.scores):
            yield SparseScores.from_arrow(pq.read_table(path)), self.known(part)


@dataclass(frozen=True)
class _Generate:
    """Writes a part, in whichever process it is called."""

    label_system: str  # as JSON text
    params: Params
    threshold_K: np.ndarray
    captioned_threshold_K: np.ndarray
    scored: dict[str, Any]  # the report on the scores
    directory: Path

    def __call__(self, part: _Part) -> None:
        caption = self.params.caption
        generator = Generator(
            threshold_K=self.threshold_K,
            max_added=self.params.max_added,
            captioned_threshold_K=self.captioned_threshold_K,
            top_k=self.scored["top_k"],
            floor=self.scored["floor"],
            parse=None if caption is None else _kept_parser(self.label_system, caption.implied_parents),
        )
        captions: list[str] = []
        if part.captions is not None:
            captions = pq.read_table(part.captions, columns=["caption"])["caption"].to_pylist()
        tags = generator.rows(SparseScores.from_arrow(pq.read_table(part.scores)), captions, part.known)
        tags["model_version"] = self.scored["model_version"]
        schema = _schema("generated_tags")
        storage.write_part(storage.as_arrow(tags, schema), self.directory, part.index, schema)


def kept_thresholds(
    directory: Path | None, made_of: Any, make: Callable[[], tuple[Thresholds, np.ndarray]]
) -> tuple[Thresholds, np.ndarray]:
    """What `make` gives, or gave before of the same model, parameters and labels: thresholds belong to a model.

    They are measured on training images that are drawn anew when there are more of them; were they measured anew, too,
    every image would have to be looked at again.
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
def _kept_parser(label_system: str, implied_parents: bool) -> Callable[[Sequence[str]], list[list[int]]]:
    """Of a label system as JSON text; made once a process."""
    return caption_parser(LabelSystem.from_json(json.loads(label_system)), implied_parents)


def _schema(name: str) -> Any:
    return artifact(name).schema


def _thresholds(
    inputs: Inputs, params: Params, parts: _Parts, label_system: LabelSystem
) -> tuple[Thresholds, np.ndarray]:
    """Of tags that the model adds by itself; and, as an array, of those that its captions name."""
    truth = Truth(inputs.labels, inputs.benchmarks, inputs.images, label_system, split="dev")
    num_tags, scored = len(label_system), inputs.score_report
    histograms = (
        labeled_histogram(score_batches(inputs.tag_scores, "dev"), truth, num_tags),
        captioned_histogram(parts.captioned(), scored["top_k"], scored["floor"], num_tags),
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
        "num_tags_never_predicted": int((predicted_K == 0).sum()),  # no threshold, or one above all scores
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
