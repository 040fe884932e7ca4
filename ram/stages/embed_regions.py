"""preliminary model, images, generated_tags -> region_features: where each tag is, and what speaks for it there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ram.data_engine.localize import Boxes, Finder, LocaliserParams, Sources, by_image, given_boxes
from ram.data_engine.probe import TRUSTED_ORIGINS, Batch, Probe, ProbeParams, fit
from ram.data_engine.regions import RegionEmbedder, RegionParams
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.inference.scorer import kept_scorer
from ram.io import tables as storage
from ram.io.progress import track
from ram.io.tables import Table
from ram.model.checkpoint import checkpoint_version
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import Engine, Lazy
from ram.pipeline.part_cache import KeptParts

_FOUND_SCHEMA = pa.schema([f for f in artifact("region_features").schema if f.name != "held_out_evidence"])  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    localizer: LocaliserParams
    region: RegionParams
    probe: ProbeParams
    batch_size: int

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")


class Inputs(NamedTuple):
    preliminary_model: Path
    images: Table
    image_shards: Path
    image_features: Path
    generated_tags: Table
    generated_tags_check: dict[str, Any]
    labels: Table  # opened for localizer boxes alone
    scratch: Path
    engine: Engine
    state: Path | None = None


class Outputs(NamedTuple):
    region_features: Path
    region_report: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """Part i and row j belong to part i and row j of generated_tags. Finished parts are kept when a killed run goes on,
    and regions that the same model found for the same images and tags in the last run are not looked for again.

    One pass of the model finds the regions and keeps a summary of every image; the probe is fitted on those, and
    its evidence is then added part by part.
    """
    model = (inputs.preliminary_model, checkpoint_version(inputs.preliminary_model))
    store, features = ImageStore(inputs.images, inputs.image_shards), FeatureStore(inputs.image_features)
    boxes: Mapping[str, Boxes] | None = None
    if params.localizer.kind == "boxes":
        boxes = by_image(given_boxes(inputs.labels, kept_scorer(*model).checkpoint.label_system))
    parts = _Parts(inputs.generated_tags, inputs.scratch, params)

    def item(index: int) -> _Item:
        image_ids = parts.rows(index)[0]
        given = None if boxes is None else {key: box for i in image_ids for key, box in boxes.get(i, {}).items()}
        return _Item(index, store.subset(image_ids), features.subset(image_ids), given)

    engine = inputs.engine.for_models()
    kept = KeptParts(None if inputs.state is None else inputs.state / "parts", model[1], asdict(params))
    keys = _keys(kept, parts, inputs, boxes)
    missing = [i for i in range(len(parts)) if not parts.has_regions(i)]
    missing = [i for i in missing if not kept.restore(keys[i], parts.found_files(i))]
    kept.tell("embedding regions", len(parts))
    found = engine.map(partial(_find, parts=parts, model=model), Lazy(item, missing))
    for _ in track(found, "embedding regions", len(missing), "part"):
        pass
    for i, key in enumerate(keys):
        files = parts.found_files(i)
        if all(path.is_file() for path in files.values()):  # not where a killed run has finished it already
            kept.keep(key, files)
    kept.forget_others(keys)
    if parts.num_images:
        num_tags = kept_scorer(*model).model.num_tags
        probe = fit(parts.trusted(), num_tags, params.probe)
        probe.calibrate(parts.trusted(), params.probe.prior_weight)
        finished = engine.map(partial(_finish, parts=parts, probe=probe), range(len(parts)))
        for _ in track(finished, "evidence of the probe", len(parts), "part"):
            pass
    else:
        storage.write_table([], parts.finished_dir, artifact("region_features").schema)
    return Outputs(region_features=parts.finished_dir, region_report=_report(parts.finished_dir, params))


def _keys(kept: KeptParts, parts: _Parts, inputs: Inputs, boxes: Mapping[str, Boxes] | None) -> list[str]:
    """One a part: its images with their content, their tags, and their boxes where these are given."""
    table = inputs.images.read(["image_id", "sha256"])
    sha256 = dict(zip(table["image_id"].to_pylist(), table["sha256"].to_pylist(), strict=True))
    keys = []
    for index in range(len(parts)):
        image_ids, image, rows = parts.rows(index)
        given = None if boxes is None else [sorted(boxes.get(i, {}).items()) for i in image_ids]
        content = [(i, sha256[i]) for i in image_ids]
        keys.append(kept.key(content, image.tolist(), rows["tag_id"].tolist(), given))
    return keys


def _report(directory: Path, params: Params) -> dict[str, Any]:
    """How many rows each localizer found the region of; a row that none found has the whole image."""
    found_by: Counter[str] = Counter()
    for batch in Table(directory, artifact("region_features").schema).batches(["found_by"]):
        found_by.update(batch["found_by"].to_pylist())
    return {
        "localizer": params.localizer.kind,
        "num_rows": found_by.total(),
        "found_by": dict(sorted(found_by.items())),
        "whole_image_share": found_by["whole"] / max(found_by.total(), 1),
    }


@dataclass(frozen=True, slots=True)
class _Item:
    """A part of generated_tags, its images, and their given boxes where the localizer takes those."""

    index: int
    images: ImageStore
    features: FeatureStore
    boxes: Boxes | None


def _find(item: _Item, parts: _Parts, model: tuple[Path, str]) -> None:
    """Find the regions of a part, in whichever process: the model is kept there for the next one."""
    params = parts.params
    scorer = kept_scorer(*model).over(item.images, item.features)
    sources = Sources(scorer.model, scorer.checkpoint.label_system, item.images, item.boxes)
    finder = Finder(sources, params.localizer)
    parts.find(item.index, RegionEmbedder(scorer, finder, params.region, params.batch_size))


def _finish(index: int, parts: _Parts, probe: Probe) -> None:
    parts.finish(index, probe)


class _Parts:
    """The parts of generated_tags on their way: regions found, then finished with the probe's evidence."""

    def __init__(self, tags: Table, scratch: Path, params: Params) -> None:
        self._paths = tags.part_paths
        self.params = params
        self._found_dir, self._summary_dir = scratch / "found", scratch / "summaries"
        self.finished_dir = scratch / "region_features"
        self._summary_dir.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def num_images(self) -> int:
        return sum(len(np.load(self._summary_path(i), mmap_mode="r")) for i in range(len(self)))

    def has_regions(self, index: int) -> bool:
        return any(storage.part_path(d, index).exists() for d in (self._found_dir, self.finished_dir))

    def found_files(self, index: int) -> dict[str, Path]:
        """What `find` writes; the regions last, since a part that has them counts as found."""
        regions = storage.part_path(self._found_dir, index)
        return {"summary.npy": self._summary_path(index), "regions.parquet": regions}

    def find(self, index: int, embedder: RegionEmbedder) -> None:
        """Regions of a part, and its images' summaries."""
        image_ids, image, rows = self.rows(index)
        tag_ids = rows["tag_id"].to_numpy()
        results = list(embedder.run(image_ids, image, tag_ids))
        width = results[0].feature_RD.shape[1] if results else 1
        summary_BS = np.concatenate([r.summary_BS for r in results] or [np.empty((0, 1))])
        with (temporary := storage.temporary_path(self._summary_path(index))).open("wb") as stream:
            np.save(stream, summary_BS.astype(np.float16))
        temporary.replace(self._summary_path(index))
        boxes_R4 = np.concatenate([r.boxes_R4 for r in results] or [np.empty((0, 4))]).astype(np.float32)
        feature_RD = np.concatenate([r.feature_RD for r in results] or [np.empty((0, width))]).astype(np.float32)
        score_R = np.concatenate([r.score_R for r in results] or [np.empty(0)]).astype(np.float32)
        found_by = [name for r in results for name in r.found_by_R]
        columns = {
            "image_id": pa.array(rows["image_id"], pa.string()),
            "tag_id": pa.array(tag_ids, pa.int32()),
            **{side: pa.array(boxes_R4[:, i]) for i, side in enumerate(("x0", "y0", "x1", "y1"))},
            "found_by": pa.array(found_by, pa.string()).dictionary_encode().cast(_FOUND_SCHEMA.field("found_by").type),
            "region_score": pa.array(score_R),
            "feature": storage.list_column(feature_RD),
        }
        storage.write_part(pa.table(columns), self._found_dir, index, _FOUND_SCHEMA)

    def trusted(self) -> Iterator[Batch]:
        """The images with the tags that the probe learns from, part by part; the folds are drawn by the seed."""
        for index in range(len(self)):
            _, image, rows = self.rows(index)
            trusted = rows["origin"].isin(TRUSTED_ORIGINS).to_numpy()
            yield Batch(
                feature_BD=np.load(self._summary_path(index)).astype(np.float32),
                fold_B=self._folds(index),
                image_R=image[trusted],
                tag_R=rows["tag_id"].to_numpy()[trusted],
            )

    def finish(self, index: int, probe: Probe) -> None:
        """Write the part with the probe's evidence; what was found alone is then no longer needed."""
        found_path = storage.part_path(self._found_dir, index)
        if not storage.part_path(self.finished_dir, index).exists():
            _, image, rows = self.rows(index)
            feature_BD = np.load(self._summary_path(index)).astype(np.float32)
            evidence = probe.evidence(feature_BD, self._folds(index), image, rows["tag_id"].to_numpy())
            table = pq.read_table(found_path).append_column("held_out_evidence", pa.array(evidence))
            schema = artifact("region_features").schema
            assert schema is not None
            storage.write_part(table, self.finished_dir, index, schema)
        found_path.unlink(missing_ok=True)

    def rows(self, index: int) -> tuple[list[str], np.ndarray, pd.DataFrame]:
        """The images of a part in order, and its rows with the position of each row's image."""
        table = pq.read_table(self._paths[index], columns=["image_id", "tag_id", "origin"])
        rows = pd.DataFrame(
            {"image_id": table["image_id"].to_pandas(), "tag_id": table["tag_id"].to_numpy()}
            | {"origin": table["origin"].to_pandas().astype(str)}
        )
        image, image_ids = pd.factorize(rows["image_id"])
        if (np.diff(image) < 0).any():
            raise ValueError(f"{self._paths[index]}: an image's rows do not stand together; run generate_tags again")
        return list(image_ids), image, rows

    def _folds(self, index: int) -> np.ndarray:
        num_images = len(np.load(self._summary_path(index), mmap_mode="r"))
        return np.random.default_rng((self.params.seed, index)).integers(self.params.probe.num_folds, size=num_images)

    def _summary_path(self, index: int) -> Path:
        return self._summary_dir / f"part-{index:05d}.npy"
