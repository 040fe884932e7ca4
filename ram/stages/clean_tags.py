"""generated_tags, region_features, verdicts -> cleaned_tags: every tag, kept or removed with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ram.data_engine.caption_evidence import evidence_of_rows, first_images, gather_by_image
from ram.data_engine.clean import EvidenceParams, RuleParams, removals, witnesses_of_bucket
from ram.data_engine.cleaning_report import cleaning_report
from ram.data_engine.detectors import DETECTORS, DetectorParams
from ram.data_engine.ground_truth import Truth
from ram.data_engine.group_by_tag import gather_by_tag
from ram.data_engine.verdicts import REASON, Judged, Verdicts, apply_verdicts, find_verdicts
from ram.io import tables as storage
from ram.io.arrays import Ragged
from ram.io.progress import track
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.labels.human_labels import VERDICTS_FILE
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import Engine

_WITNESSES = ("outlier_score", "outlier", "detector", "region", "image")


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    detectors: DetectorParams
    evidence: EvidenceParams
    rules: RuleParams
    honor_verdicts: bool  # of people on single rows, in data/reviews/verdicts.csv
    max_rows_at_once: int  # rows of one or several tags that a worker holds; a tag with more is judged in shares

    def __post_init__(self) -> None:
        if self.max_rows_at_once < self.detectors.points.min_regions:
            raise ValueError(
                f"max_rows_at_once must be at least detectors.points.min_regions ({self.detectors.points.min_regions}), "
                f"got {self.max_rows_at_once}"
            )


class Inputs(NamedTuple):
    generated_tags: Table
    region_features: Table
    parsed_tags: Table
    caption_evidence: Table
    reviews: Path
    images: Table
    labels: Table
    benchmarks: dict[str, Any]
    label_system: dict[str, Any]
    scratch: Path
    engine: Engine


class Outputs(NamedTuple):
    cleaned_tags: Path
    cleaning_report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of the tables, and where its rows begin among all rows."""

    index: int
    tags_path: Path
    regions_path: Path
    first_row: int
    judged: Judged
    first_image: int


def run(inputs: Inputs, params: Params) -> Outputs:
    """Per tag, detectors judge the regions; per image, the evidence is put together. A killed run goes on where it was.

    The labels of the training images are read for the report, after every decision has been taken.
    """
    label_system = LabelSystem.from_json(inputs.label_system)
    cleaned_dir = inputs.scratch / "cleaned_tags"
    witnesses_path = _find_witnesses(inputs, params, len(label_system))
    verdicts = Verdicts()
    if params.honor_verdicts:
        path = inputs.reviews / VERDICTS_FILE
        verdicts = find_verdicts(path, inputs.images, label_system, inputs.generated_tags.part_paths)
    parts, first_row = [], 0
    tables = (inputs.generated_tags, inputs.parsed_tags, inputs.caption_evidence)
    captions = gather_by_image(*tables, inputs.scratch)
    paths = (inputs.generated_tags.part_paths, inputs.region_features.part_paths, first_images(inputs.generated_tags))
    for index, (tags_path, regions_path, first_image) in enumerate(zip(*paths, strict=True)):
        judged = verdicts.by_part.get(index, {})
        parts.append(_Part(index, tags_path, regions_path, first_row, judged, first_image))
        first_row += pq.read_metadata(tags_path).num_rows
    decide = partial(_decide, witnesses_path=witnesses_path, captions=captions, params=params, directory=cleaned_dir)
    _write_missing(inputs.engine, decide, parts, cleaned_dir, "cleaning")
    cleaned = Table(cleaned_dir, _schema())
    truth = Truth(inputs.labels, inputs.benchmarks, inputs.images, label_system, split="train")
    report = cleaning_report(cleaned, label_system, truth)
    num_removed = sum(counts.get(f"num_{REASON}", 0) for counts in report["by_origin"].values())
    report["verdicts"] = verdicts.report(num_removed)
    return Outputs(cleaned_tags=cleaned_dir, cleaning_report=report)


def _schema() -> pa.Schema:
    schema = artifact("cleaned_tags").schema
    assert schema is not None
    return schema


def _find_witnesses(inputs: Inputs, params: Params, num_tags: int) -> Path:
    """An array (rows, len(_WITNESSES)) on disk, in the order of generated_tags."""
    path = inputs.scratch / "witnesses.npy"
    if path.exists():
        return path
    buckets = gather_by_tag(
        inputs.generated_tags, inputs.region_features, inputs.scratch / "buckets", params.max_rows_at_once, num_tags
    )
    function = partial(witnesses_of_bucket, params=params.detectors, seed=params.seed)
    temporary = path.with_suffix(".tmp.npy")
    shape = (max(inputs.generated_tags.num_rows, 1), len(_WITNESSES))
    witnesses = storage.new_array(temporary, np.float32, shape, "the table of witnesses")
    for found in track(inputs.engine.map(function, buckets), "judging regions", len(buckets), "bucket"):
        witnesses[found["row"].to_numpy()] = np.stack([found[name].to_numpy() for name in _WITNESSES], axis=1)
    witnesses.flush()
    temporary.replace(path)
    for bucket in buckets:
        bucket.unlink()
    return path


def _write_missing(engine: Engine, function: Any, parts: Sequence[_Part], directory: Path, what: str) -> None:
    missing = [part for part in parts if not storage.part_path(directory, part.index).exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for _ in track(engine.map(function, missing), what, len(missing), "part"):
        pass


def _decide(part: _Part, witnesses_path: Path, captions: Ragged, params: Params, directory: Path) -> None:
    """Write the rows of cleaned_tags of one part."""
    tags = pq.read_table(part.tags_path, columns=["image_id", "tag_id", "origin", "score", "image_score"])
    sides = ["x0", "y0", "x1", "y1"]
    regions = pq.read_table(part.regions_path, columns=["region_score", "held_out_evidence", *sides])
    witnesses = np.load(witnesses_path, mmap_mode="r")[part.first_row : part.first_row + tags.num_rows]
    rows = tags.to_pandas()
    rows["origin"] = rows["origin"].astype(str)
    for name in regions.column_names:
        rows[name] = regions[name].to_numpy()
    for i, name in enumerate(_WITNESSES):
        rows[name] = witnesses[:, i]
    rows["caption_evidence"] = evidence_of_rows(
        captions, part.first_image, tags["image_id"].to_numpy(), rows["tag_id"].to_numpy()
    )
    decided = rows.join(removals(rows, params.evidence, params.rules))
    names = np.array([*DETECTORS, None], dtype=object)  # -1, of rows that were not judged, is the last
    decided["detector"] = names[rows["detector"].to_numpy(dtype=np.int64)]
    decided = apply_verdicts(decided, part.judged)
    storage.write_part(storage.as_arrow(decided, _schema()), directory, part.index, _schema())
