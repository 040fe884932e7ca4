"""What is kept of all that was read: no key twice, no image twice, cut into shards of one split each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ram.datasets.duplicates import find_duplicates
from ram.datasets.staging import Spool

# Of two images that are alike the one further left stays: what is evaluated on must not be trained on. Images of
# train and finetune are not held against each other: COCO's captions may be learned from, and its labels afterwards.
SPLIT_PRIORITY = ("test", "dev", "finetune", "train")
LEARNING_SPLITS = ("train", "finetune")
SHARD_ORDER = ("train", "finetune", "dev", "test")


@dataclass(frozen=True)
class Candidates:
    """The readable images of all sources, in reading order; every array has one entry an image."""

    chunk: NDArray[np.int64]
    row: NDArray[np.int64]  # in its chunk's records
    image_id: pa.Array
    split: NDArray[np.int64]  # position in SPLIT_PRIORITY
    sha256: NDArray[np.bytes_]
    perceptual_hash: NDArray[np.uint64]
    source: NDArray[np.int64]  # its number among the sources

    def __len__(self) -> int:
        return len(self.chunk)


@dataclass(frozen=True)
class Repeat:
    """An image that is left out, and the image_id of the one that stays in its place."""

    row: int
    reason: str  # duplicate_key, exact_duplicate or near_duplicate
    image_id: str


Repeats = dict[int, list[Repeat]]  # by chunk


@dataclass(frozen=True)
class Shard:
    """A shard to be written: the rows to take of each chunk, in order."""

    number: int
    rows: tuple[tuple[int, NDArray[np.int64]], ...]


def read_candidates(spool: Spool, num_chunks: int) -> Candidates:
    columns = ["source", "key", "split", "sha256", "perceptual_hash"]
    tables = [spool.records(chunk, columns) for chunk in range(num_chunks)]
    sizes = [table.num_rows for table in tables]
    table = pa.concat_tables(tables).combine_chunks()
    ids = pc.binary_join_element_wise(table["source"], table["key"], "/")
    return Candidates(
        chunk=np.repeat(np.arange(num_chunks), sizes),
        row=np.concatenate([np.arange(size) for size in sizes]),
        image_id=ids.combine_chunks(),
        split=pc.index_in(table["split"], pa.array(SPLIT_PRIORITY)).to_numpy().astype(np.int64),
        sha256=np.array(table["sha256"].to_numpy(), dtype="S32"),
        perceptual_hash=table["perceptual_hash"].to_numpy(),
        source=pc.index_in(table["source"], table["source"].unique()).to_numpy().astype(np.int64),
    )


def find_repeats(candidates: Candidates, max_distance: int | None) -> Repeats:
    """The images to leave out: a key that is there twice, the same bytes, nearly the same image."""
    codes = candidates.image_id.dictionary_encode().indices.to_numpy()
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    stays = first[inverse]  # the first of the same key
    alike = _alike(candidates, stays == np.arange(len(codes)), max_distance)
    repeats: Repeats = {}
    for index in np.flatnonzero((stays != np.arange(len(codes))) | (alike >= 0)).tolist():
        if stays[index] != index:
            reason, other = "duplicate_key", int(stays[index])
        else:
            other = int(alike[index])
            same_bytes = candidates.sha256[index] == candidates.sha256[other]
            reason = "exact_duplicate" if same_bytes else "near_duplicate"
        repeat = Repeat(int(candidates.row[index]), reason, candidates.image_id[other].as_py())
        repeats.setdefault(int(candidates.chunk[index]), []).append(repeat)
    return repeats


def _alike(candidates: Candidates, own_key: NDArray[np.bool_], max_distance: int | None) -> NDArray[np.int64]:
    """For each image the one that stays in its place, or -1."""
    alike = np.full(len(candidates), -1, np.int64)
    for learning in LEARNING_SPLITS:
        others = [SPLIT_PRIORITY.index(split) for split in LEARNING_SPLITS if split != learning]
        chosen = np.flatnonzero(own_key & ~np.isin(candidates.split, others))
        found = find_duplicates(
            candidates.sha256[chosen], candidates.perceptual_hash[chosen], candidates.split[chosen], max_distance
        )
        alike[chosen] = np.where(found >= 0, chosen[found], -1)
    return alike


def cut_shards(candidates: Candidates, repeats: Mapping[int, list[Repeat]], images_per_shard: int) -> list[Shard]:
    """The images that stay, split by split and in reading order, as shards, each of images of one source.

    So the shards of a source stay what they are when another source grows, and its own but the last when it does.
    """
    kept = np.ones(len(candidates), bool)
    for chunk, left_out in repeats.items():
        start = int(np.searchsorted(candidates.chunk, chunk))
        kept[start + np.array([repeat.row for repeat in left_out])] = False
    shards: list[Shard] = []
    for split in SHARD_ORDER:
        of_split = np.flatnonzero(kept & (candidates.split == SPLIT_PRIORITY.index(split)))
        ends = np.flatnonzero(np.diff(candidates.source[of_split])) + 1
        for chosen in np.split(of_split, ends):
            for begin in range(0, len(chosen), images_per_shard):
                index = chosen[begin : begin + images_per_shard]
                chunks = candidates.chunk[index]
                rows = tuple((int(c), candidates.row[index[chunks == c]]) for c in np.unique(chunks))
                shards.append(Shard(len(shards), rows))
    return shards
