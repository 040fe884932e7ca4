"""Tables -> examples: which images are trained on, the labels and captions of each, and the tags known about them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ram.io.arrays import Ragged, RowIndex, Texts, load_array
from ram.io.tables import Table

_CAPTION_ORIGINS = ("caption", "generated_caption", "implied")
_ALL_CAPTIONS = -1  # every bit set
_LAST_BIT = 62
UNKNOWN = -1.0  # a target: no label
_LEAST_TARGET = 0.01  # a row that counts less is a negative


@dataclass(frozen=True)
class Examples:
    """Images whose labels are known over the same tags.

    `labels` has columns tag_id, target in [0, 1], and captions: bit i set where caption i names the tag. A tag with
    `known_K` False is neither a positive nor a negative of these images. A tag without a row is a negative where the
    set is `complete`, and else unknown; a row whose target is `UNKNOWN` says that this one label is not known.
    `captions` has columns text (its number in `caption_texts`) and index.
    """

    image_ids: Texts
    shard_N: np.ndarray
    labels: Ragged
    known_K: np.ndarray
    captions: Ragged
    caption_texts: Texts
    num_left_out: int = 0  # images without any tag
    complete: bool = True

    def __len__(self) -> int:
        return len(self.image_ids)

    def num_positives(self) -> np.ndarray:
        """How many images each tag is a label of, (K,): the sum of its targets, rounded."""
        counts_K = np.zeros(len(self.known_K))
        tag_ids, targets = self.labels.columns["tag_id"], self.labels.columns["target"]
        for start in range(0, len(tag_ids), 1 << 20):
            stop = start + (1 << 20)
            weights = np.maximum(targets[start:stop], 0)
            counts_K += np.bincount(tag_ids[start:stop], weights=weights, minlength=len(counts_K))
        return np.rint(counts_K).astype(np.int64)


def examples_from_tags(
    directory: Path,
    images: Table,
    pairs: Table,
    tags: Table,
    known_K: np.ndarray,
    *,
    predicted_target: str = "hard",
) -> Examples:
    """Images of split train that have a tag, with the tags of a tag table as labels and with their captions.

    A tag that an image does not have is a negative. `predicted_target` says what a row of the table counts:

    - "hard": 1; rows that the cleaning removed are no labels.
    - "score": the same, but a `predicted` row is a target of its score.
    - "probability": 1 - wrong_probability, whether the row was kept or not: what the data engine is unsure of teaches as
      much as it is sure. A table that was not cleaned is taken as with "score".

    Files are written under `directory` once, and found again.
    """
    has_captions = "caption_indices" in tags.schema.names
    by_probability = predicted_target == "probability" and "wrong_probability" in tags.schema.names
    optional = ("wrong_probability" if by_probability else "kept", "caption_indices")
    columns = ["image_id", "tag_id", "origin", "score", *(name for name in optional if name in tags.schema.names)]

    def entries(index: RowIndex) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for batch in tags.batches(columns):
            rows = index.find(batch["image_id"].to_numpy(zero_copy_only=False))
            tag_ids = batch["tag_id"].to_numpy(zero_copy_only=False)
            targets = targets_of(batch, predicted_target)
            kept = (rows >= 0) & known_K[tag_ids] & (targets > 0)
            values = {
                "tag_id": tag_ids[kept],
                "target": targets[kept],
                "captions": _caption_bits(batch, has_captions)[kept],
            }
            yield rows[kept], values

    def is_train(batch: pa.RecordBatch) -> Any:
        return pc.equal(batch["split"], "train")

    return _write_examples(directory, images, is_train, entries, pairs, known_K, need_label=True)


def examples_from_labels(
    directory: Path,
    images: Table,
    labels: Table,
    sources: Collection[str],
    split: str,
    tag_id_of: Mapping[str, int],
    num_tags: int,
) -> Examples:
    """Images of `sources` in `split`, whose labels are complete over the names of `tag_id_of` and unknown beyond.

    An image without a label is one of negatives alone. Names that are not in `tag_id_of` are left out.
    """
    known_K = np.zeros(num_tags, bool)
    known_K[list(tag_id_of.values())] = True

    def entries(index: RowIndex) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for batch in labels.batches(["image_id", "name"]):
            rows = index.find(batch["image_id"].to_numpy(zero_copy_only=False))
            tag_ids = np.array([tag_id_of.get(name, -1) for name in batch["name"].to_pylist()], np.int64)
            kept = (rows >= 0) & (tag_ids >= 0)
            num = int(kept.sum())
            values: dict[str, np.ndarray] = {
                "tag_id": tag_ids[kept],
                "target": np.ones(num, np.float32),
                "captions": np.full(num, _ALL_CAPTIONS, np.int64),
            }
            yield rows[kept], values

    def is_wanted(batch: pa.RecordBatch) -> Any:
        of_sources = pc.is_in(batch["source"], pa.array(sorted(sources), pa.string()))
        return pc.and_(pc.equal(batch["split"], split), of_sources)

    return _write_examples(directory, images, is_wanted, entries, None, known_K, need_label=False)


def examples_from_rows(
    directory: Path, images: Table, split: str, rows: pd.DataFrame, known_K: np.ndarray, *, complete: bool
) -> Examples:
    """Images of `split` with the labels of `rows` (image_id, tag_id, target): see `Examples` for what is no row."""

    def entries(index: RowIndex) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        places = index.find(rows["image_id"].to_numpy())
        kept = places >= 0
        values = {name: rows[name].to_numpy()[kept] for name in ("tag_id", "target")}
        yield places[kept], values | {"captions": np.zeros(int(kept.sum()), np.int64)}

    def is_wanted(batch: pa.RecordBatch) -> Any:
        return pc.equal(batch["split"], split)

    found = _write_examples(directory, images, is_wanted, entries, None, known_K, need_label=False)
    return dataclasses.replace(found, complete=complete)


def targets_of(batch: pa.RecordBatch, predicted_target: str) -> np.ndarray:
    """What the rows of a tag table count for in training, 0 … 1, float32; 0: no label. See `examples_from_tags`."""
    if predicted_target == "probability" and "wrong_probability" in batch.schema.names:
        target = 1 - batch["wrong_probability"].to_numpy(zero_copy_only=False)
    else:
        score = batch["score"].to_numpy(zero_copy_only=False)
        soft = _is_origin(batch, ("predicted",)) if predicted_target != "hard" else np.zeros(len(score), bool)
        target = np.where(soft, score.clip(0, 1), np.float32(1))
        if "kept" in batch.schema.names:
            target = np.where(batch["kept"].to_numpy(zero_copy_only=False), target, np.float32(0))
    return np.where(target >= _LEAST_TARGET, target, np.float32(0))


def _caption_bits(batch: pa.RecordBatch, has_captions: bool) -> np.ndarray:
    """Which captions name the tag; all of them where the table does not say and the tag stems from captions."""
    if not has_captions:
        return np.where(_is_origin(batch, _CAPTION_ORIGINS), _ALL_CAPTIONS, 0)
    return np.array(
        [sum({1 << min(i, _LAST_BIT) for i in indices}) for indices in batch["caption_indices"].to_pylist()], np.int64
    )


def _is_origin(batch: pa.RecordBatch, origins: tuple[str, ...]) -> np.ndarray:
    column = batch["origin"].cast(pa.string())
    return pc.is_in(column, pa.array(origins, pa.string())).to_numpy(zero_copy_only=False)


def _write_examples(
    directory: Path,
    images: Table,
    is_wanted: Callable[[pa.RecordBatch], Any],
    entries: Callable[[RowIndex], Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]],
    pairs: Table | None,
    known_K: np.ndarray,
    *,
    need_label: bool,
) -> Examples:
    if not directory.is_dir():
        partial = directory.with_name(f".{directory.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_arrays(partial, images, is_wanted, entries, pairs, need_label)
        partial.replace(directory)
    return stored_examples(directory, known_K)


def stored_examples(directory: Path, known_K: np.ndarray) -> Examples:
    """The examples whose files were written under `directory`."""
    return Examples(
        image_ids=Texts(directory / "image_ids"),
        shard_N=load_array(directory / "shard.npy"),
        labels=Ragged(directory / "labels"),
        known_K=known_K,
        captions=Ragged(directory / "captions"),
        caption_texts=Texts(directory / "caption_texts"),
        num_left_out=int(np.load(directory / "num_left_out.npy")),
    )


def _write_arrays(
    directory: Path,
    images: Table,
    is_wanted: Callable[[pa.RecordBatch], Any],
    entries: Callable[[RowIndex], Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]],
    pairs: Table | None,
    need_label: bool,
) -> None:
    def batches(keep: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        done = 0
        for batch in images.batches(["image_id", "source", "split", "shard"]):
            batch = batch.filter(is_wanted(batch))
            image_ids, shards = (batch[c].to_numpy(zero_copy_only=False) for c in ("image_id", "shard"))
            chosen = slice(None) if keep is None else keep[done : done + len(image_ids)]
            done += len(image_ids)
            yield image_ids[chosen], shards[chosen]

    index = RowIndex(image_ids for image_ids, _ in batches())
    keep = np.ones(len(index), bool)
    if need_label:
        keep[:] = False
        for rows, _ in entries(index):
            keep[rows] = True
    Texts.write(directory / "image_ids", (image_ids.tolist() for image_ids, _ in batches(keep)))
    np.save(directory / "num_left_out.npy", len(index) - keep.sum())
    index = RowIndex(image_ids for image_ids, _ in batches(keep))
    np.save(directory / "shard.npy", _codes(shards for _, shards in batches(keep)))
    dtypes = {"tag_id": np.int32, "target": np.float32, "captions": np.int64}
    Ragged.write(directory / "labels", len(index), lambda: entries(index), dtypes)
    _write_captions(directory, index, pairs)


def _write_captions(directory: Path, index: RowIndex, pairs: Table | None) -> None:
    def batches() -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        for batch in pairs.batches(["image_id", "caption_index", "caption"]) if pairs is not None else ():
            rows = index.find(batch["image_id"].to_numpy(zero_copy_only=False))
            yield rows[rows >= 0], batch.filter(pa.array(rows >= 0))

    def entries() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        done = 0
        for rows, batch in batches():
            text = np.arange(done, done + len(rows))
            done += len(rows)
            yield rows, {"text": text, "index": batch["caption_index"].to_numpy(zero_copy_only=False)}

    Texts.write(directory / "caption_texts", (batch["caption"].to_pylist() for _, batch in batches()))
    Ragged.write(directory / "captions", len(index), entries, {"text": np.int64, "index": np.int16})


def _codes(batches: Iterator[np.ndarray]) -> np.ndarray:
    """Names -> numbers in the order of first appearance."""
    numbers: dict[str, int] = {}
    codes = [np.array([numbers.setdefault(name, len(numbers)) for name in batch], np.int32) for batch in batches]
    return np.concatenate(codes) if codes else np.empty(0, np.int32)
