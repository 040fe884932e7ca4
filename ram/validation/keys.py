"""How often 64-bit keys repeat, however many there are: on disk beyond some millions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

_KEYS_IN_MEMORY = 4_000_000
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # an odd number: neighboring keys come into different buckets


class KeyCounter:
    """Counts repeated keys in memory of some 4 million of them, whatever their number.

    `num_keys` is about how many will come. Above what memory is to hold, keys are written to `directory`, 8 bytes each, in
    buckets by a hash, so that equal keys share a bucket; each bucket is then sorted alone.
    """

    def __init__(self, directory: Path, num_keys: int, keys_in_memory: int = _KEYS_IN_MEMORY) -> None:
        self._directory = directory
        self._num_buckets = max(-(-num_keys // keys_in_memory), 1)
        self._held: list[np.ndarray] = []
        if self._num_buckets > 1:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)

    def add(self, keys: np.ndarray) -> None:
        """Take in keys of 64 bits, of any sign."""
        keys = keys.astype(np.int64, copy=False).view(np.uint64)
        if self._num_buckets == 1:
            self._held.append(keys)
            return
        mixed = keys * _SPREAD >> np.uint64(32)
        buckets = (mixed % np.uint64(self._num_buckets)).astype(np.uint16)
        order = np.argsort(buckets, kind="stable")  # a radix sort, at 16 bits
        ends = np.bincount(buckets, minlength=self._num_buckets).cumsum()
        for bucket, own in enumerate(np.split(keys[order], ends[:-1])):
            if len(own):
                with self._path(bucket).open("ab") as stream:
                    stream.write(own.tobytes())

    def finish(self) -> tuple[int, int]:
        """How many keys repeat an earlier one, and how often the most frequent key came; what was on disk is removed."""
        num_repeated = most = 0
        for bucket in range(self._num_buckets):
            keys = self._bucket(bucket)
            if not len(keys):
                continue
            keys.sort()
            starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
            num_repeated += len(keys) - len(starts)
            most = max(most, int(np.diff(np.append(starts, len(keys))).max()))
        if self._num_buckets > 1:
            shutil.rmtree(self._directory)
        self._held = []
        return num_repeated, most

    def _bucket(self, bucket: int) -> np.ndarray:
        if self._num_buckets == 1:
            return np.concatenate(self._held) if self._held else np.zeros(0, np.uint64)
        path = self._path(bucket)
        return np.fromfile(path, np.uint64) if path.exists() else np.zeros(0, np.uint64)

    def _path(self, bucket: int) -> Path:
        return self._directory / f"{bucket:05d}.keys"
