"""preliminary model, images, caption_embeddings -> caption_evidence: does each caption belong to its image?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ram.data_engine.caption_probe import CaptionBatch, CaptionProbe, fit_captions
from ram.data_engine.probe import ProbeParams
from ram.data_engine.regions import summary_of
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.inference.scorer import Scorer, kept_scorer
from ram.io import tables as storage
from ram.io.arrays import Ragged, RowIndex, load_array
from ram.io.progress import track
from ram.io.tables import Table
from ram.model.checkpoint import checkpoint_version
from ram.pipeline.catalog import artifact
from ram.training.captions import captions_of, load_embeddings

_IMAGES_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
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
    caption_embeddings: Table
    scratch: Path


class Outputs(NamedTuple):
    caption_evidence: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    """One row a caption of split train, images in the order of the shards. What a killed run has finished is kept."""
    directory, schema = inputs.scratch / "caption_evidence", artifact("caption_evidence").schema
    assert schema is not None
    if not inputs.caption_embeddings.num_rows:
        storage.write_table([], directory, schema)
        return Outputs(caption_evidence=directory)
    probe, images = fitted(inputs, params)
    for part, (start, batch) in enumerate(images):
        rows = _rows(probe, batch, images, start, schema)
        storage.write_part(rows, directory, part, schema)
    return Outputs(caption_evidence=directory)


def fitted(inputs: Inputs, params: Params) -> tuple[CaptionProbe, Images]:
    """The probe, fitted and calibrated on the train images; and those with their captions. Works in `inputs.scratch`."""
    store, features = ImageStore(inputs.images, inputs.image_shards), FeatureStore(inputs.image_features)
    scorer = kept_scorer(inputs.preliminary_model, checkpoint_version(inputs.preliminary_model)).over(store, features)
    image_ids = store.of_split("train")
    index, encoder = RowIndex([np.asarray(image_ids, dtype=object)]), scorer.checkpoint.params.text_encoder
    captions = _captions(inputs.caption_embeddings, index, encoder, inputs.scratch)
    path = inputs.scratch / "caption_embeddings.npy"
    embedding_CE = load_embeddings(path, inputs.caption_embeddings, index, encoder)
    images = Images(image_ids, _summaries(scorer, image_ids, params, inputs.scratch), captions, embedding_CE, params)
    probe = fit_captions((batch for _, batch in images), embedding_CE.shape[1], params.probe)
    probe.calibrate((batch for _, batch in images), params.probe.prior_weight)
    return probe, images


def _captions(table: Table, index: RowIndex, text_encoder: str, scratch: Path) -> Ragged:
    """The captions of these images: columns text (its row among their embeddings) and index (caption_index)."""

    def entries() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        first = 0
        for row, batch in captions_of(table, index, text_encoder, ("caption_index",)):
            yield row, {"text": first + np.arange(len(row)), "index": batch["caption_index"].to_numpy()}
            first += len(row)

    dtypes = {"text": np.int64, "index": np.int16}
    return Ragged.write(scratch / "captions_of_images", len(index), entries, dtypes)


def _summaries(scorer: Scorer, image_ids: list[str], params: Params, scratch: Path) -> np.ndarray:
    """(images, S) float16, memory-mapped: what the probe sees of each."""
    path = scratch / "summaries.npy"
    if not path.is_file():
        unfinished, rows, start = storage.temporary_path(path), None, 0
        batches = scorer.tokens(image_ids, params.batch_size)
        num_batches = -(-len(image_ids) // params.batch_size)
        for ids, tokens_BND, _ in track(batches, "images of captions", num_batches, "batch"):
            summary_BS = summary_of(scorer, ids, tokens_BND)
            if rows is None:
                rows = storage.new_array(unfinished, np.float16, (len(image_ids), summary_BS.shape[1]), "summaries")
            rows[start : start + len(ids)] = summary_BS
            start += len(ids)
        assert rows is not None, "captions belong to images"
        rows.flush()
        unfinished.replace(path)
    return load_array(path)


class Images:
    """(position of the first image, its batch) again and again; the folds are drawn by the seed."""

    def __init__(
        self, image_ids: list[str], summary_BS: np.ndarray, captions: Ragged, embedding_CE: np.ndarray, params: Params
    ) -> None:
        self.image_ids, self.captions = image_ids, captions
        self._summary_BS, self._embedding_CE = summary_BS, embedding_CE
        self._fold_B = np.random.default_rng(params.seed).integers(params.probe.num_folds, size=len(image_ids))

    def __iter__(self) -> Iterator[tuple[int, CaptionBatch]]:
        for start in range(0, len(self.image_ids), _IMAGES_AT_ONCE):
            rows = np.arange(start, min(start + _IMAGES_AT_ONCE, len(self.image_ids)))
            image_C, columns = self.captions.gather(rows)
            embedding_CE = self._embedding_CE[columns["text"]].astype(np.float32)
            feature_BD = self._summary_BS[rows].astype(np.float32)
            yield start, CaptionBatch(feature_BD, self._fold_B[rows], image_C, embedding_CE)


def _rows(probe: CaptionProbe, batch: CaptionBatch, images: Images, start: int, schema: pa.Schema) -> pa.Table:
    stop = start + len(batch.feature_BD)
    _, columns = images.captions.gather(np.arange(start, stop))
    image_ids = pa.array(images.image_ids[start:stop], pa.string())
    return pa.table(
        [image_ids.take(pa.array(batch.image_C)), pa.array(columns["index"]), pa.array(probe.evidence(batch))],
        schema=schema,
    )
