"""Texts and lists of varying length as memory-mapped arrays: what a step needs is read, and nothing else held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ram.io.tables import new_array

_UNIT = np.dtype(np.uint8)


def load_array(path: Path) -> np.ndarray:
    """An array written with `np.save`, memory-mapped; an empty one is read, since nothing can be mapped."""
    try:
        return np.load(path, mmap_mode="r")
    except ValueError:
        return np.load(path)


class Texts:
    """UTF-8 texts by number, in a folder: their bytes one after the other, and where each begins."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._offsets = load_array(directory / "offsets.npy")
        blob = directory / "texts.bin"
        self._blob = np.memmap(blob, _UNIT, mode="r") if blob.stat().st_size else np.empty(0, _UNIT)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __reduce__(self) -> Any:
        # A worker process opens the files itself: a memory map would be sent as a copy of all its bytes.
        return type(self), (self.directory,)

    def take(self, numbers: Iterable[int]) -> list[str]:
        return [bytes(self._blob[self._offsets[i] : self._offsets[i + 1]]).decode() for i in numbers]

    @classmethod
    def write(cls, directory: Path, batches: Iterable[Sequence[str]]) -> Texts:
        """Write the texts of all batches, numbered in the order they come."""
        directory.mkdir(parents=True, exist_ok=True)
        lengths: list[np.ndarray] = [np.zeros(1, np.int64)]
        with (directory / "texts.bin").open("wb") as stream:
            for batch in batches:
                encoded = [text.encode() for text in batch]
                stream.write(b"".join(encoded))
                lengths.append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        np.save(directory / "offsets.npy", np.concatenate(lengths).cumsum())
        return cls(directory)


class Ragged:
    """Rows that each have any number of entries; an entry has a value in every column."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.offsets = load_array(directory / "offsets.npy")
        names = sorted(path.stem for path in directory.glob("*.npy") if path.stem != "offsets")
        self.columns = {name: load_array(directory / f"{name}.npy") for name in names}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __reduce__(self) -> Any:
        return type(self), (self.directory,)

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The entries of `rows`: the place in `rows` that each belongs to, and the columns."""
        start, end = self.offsets[rows], self.offsets[rows + 1]
        length = end - start
        place = np.repeat(np.arange(len(rows)), length)
        entry = np.arange(length.sum()) - np.repeat(length.cumsum() - length, length) + np.repeat(start, length)
        return place, {name: np.asarray(column[entry]) for name, column in self.columns.items()}

    @classmethod
    def write(
        cls,
        directory: Path,
        num_rows: int,
        batches: Callable[[], Iterator[tuple[np.ndarray, Mapping[str, np.ndarray]]]],
        dtypes: Mapping[str, Any],
    ) -> Ragged:
        """Write entries that come in any order: `batches()` gives (rows, columns), and is gone through twice."""
        directory.mkdir(parents=True, exist_ok=True)
        counts = np.zeros(num_rows, np.int64)
        for rows, _ in batches():
            np.add.at(counts, rows, 1)
        offsets = np.concatenate([np.zeros(1, np.int64), counts.cumsum()])
        np.save(directory / "offsets.npy", offsets)
        columns = {
            name: new_array(directory / f"{name}.npy", dtype, (int(offsets[-1]),), "an array of the training tables")
            for name, dtype in dtypes.items()
        }
        next_free = offsets[:-1].copy()
        for rows, values in batches():
            order = np.argsort(rows, kind="stable")
            ranked = rows[order]
            entry = next_free[ranked] + np.arange(len(ranked)) - np.searchsorted(ranked, ranked)
            for name, column in columns.items():
                column[entry] = np.asarray(values[name])[order]
            np.add.at(next_free, rows, 1)
        for column in columns.values():
            column.flush()
        return cls(directory)


class RowIndex:
    """image_id -> row, through 64-bit hashes: 16 bytes an id."""

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        hashes = [_hash(batch) for batch in batches]
        self._hash = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
        self._row = np.argsort(self._hash, kind="stable")
        self._hash = self._hash[self._row]
        if len(self._hash) and (self._hash[1:] == self._hash[:-1]).any():
            raise ValueError("the table of images names per image twice; image_id must be unique")

    def __len__(self) -> int:
        return len(self._hash)

    def find(self, image_ids: np.ndarray) -> np.ndarray:
        """The rows of `image_ids`, -1 for those that are not there."""
        if not len(self):
            return np.full(len(image_ids), -1)
        wanted = _hash(image_ids)
        place = np.searchsorted(self._hash, wanted).clip(max=len(self) - 1)
        return np.where(self._hash[place] == wanted, self._row[place], -1)


def _hash(image_ids: np.ndarray) -> np.ndarray:
    return pd.util.hash_array(np.asarray(image_ids, dtype=object), categorize=False)
