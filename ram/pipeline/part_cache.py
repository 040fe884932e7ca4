"""Finished parts, kept by the content that they were made of: the next run, over more data, does only what is new.

A part is found again where its content, the parameters and the code are the same. Files are linked, not copied, wherever the
file system can, so that what is kept takes no place beside what it was kept of; nothing ever writes into a part.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ram.io.tables import link_or_copy, temporary_path


class KeptParts:
    """The parts of one kind of work. `facts` are what all depend on: parameters, a model's version. None keeps nothing."""

    def __init__(self, directory: Path | None, *facts: Any) -> None:
        self._root = directory
        self._mine = _digest([code_digest(), *facts])
        self.num_restored = 0

    def key(self, *content: Any) -> str:
        """Of a part that is made of `content`: plain values, which JSON can hold."""
        return _digest(content)

    def restore(self, key: str, files: Mapping[str, Path]) -> bool:
        """Put the files of the part into place, in this order; whether it was there."""
        if self._root is None or not (folder := self._folder(key)).is_dir():
            return False
        for name, target in files.items():
            if (source := folder / name).is_file():
                link_or_copy(source, target)
        self.num_restored += 1
        return True

    def keep(self, key: str, files: Mapping[str, Path]) -> None:
        """Keep the part, those of its files that are there; it stays what it was where it was kept before."""
        if self._root is None or (folder := self._folder(key)).is_dir():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = temporary_path(folder)
        unfinished.mkdir()
        for name, source in files.items():
            if source.is_file():
                link_or_copy(source, unfinished / name)
        unfinished.rename(folder)

    def forget_others(self, keys: Collection[str]) -> None:
        """Remove every part but these: those of data that is gone, and those of other parameters, models or code."""
        if self._root is None or not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            if folder.name != self._mine:
                shutil.rmtree(folder)
        wanted = set(keys)
        mine = self._root / self._mine
        for folder in mine.iterdir() if mine.is_dir() else ():
            if folder.name not in wanted:
                shutil.rmtree(folder)

    def tell(self, what: str, num_parts: int) -> None:
        """Print how many parts were there already, where any was."""
        if self.num_restored:
            print(f"{what}: {self.num_restored} of {num_parts} parts as before, {num_parts - self.num_restored} new", file=sys.stderr)  # fmt: skip  # noqa: E501

    def _folder(self, key: str) -> Path:
        assert self._root is not None
        return self._root / self._mine / key


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of all modules of ram: other code may make other parts."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:24]
