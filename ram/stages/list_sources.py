"""() -> sources: every file of every source, with its size and the hash of its content.

It is cheap and always run, so that a changed file is seen and all that follows from it is made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ram.datasets import Source, make_sources
from ram.datasets.source import expand
from ram.io.progress import track
from ram.io.remote import RemotePath
from ram.io.tables import content_hash

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    sources: tuple[dict[str, Any], ...]  # each: name, kind, and the parameters of that kind (ram/datasets)
    whole_hash_mib: int  # a longer file is known by its size and its first and last MiB

    def __post_init__(self) -> None:
        if self.whole_hash_mib < 2:
            raise ValueError(f"whole_hash_mib must be at least 2, got {self.whole_hash_mib}")
        make_sources(self.sources)


class Inputs(NamedTuple):
    pass


class Outputs(NamedTuple):
    sources: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """`{"sources": [{"description", "provenance", "files": [{"path", "num_bytes", "hash", "hash_of"}]}]}`.

    Paths keep their $VARIABLEs, so the listing of the same files is the same on every machine.
    """
    listed = [
        _listing(description, source, params.whole_hash_mib)
        for description, source in zip(params.sources, make_sources(params.sources), strict=True)
    ]
    return Outputs(sources={"sources": listed})


def _listing(description: Mapping[str, Any], source: Source, whole_hash_mib: int) -> dict[str, Any]:
    files = track(source.files(), f"hash {source.name}", unit="file")
    return {
        "description": dict(description),
        "provenance": source.provenance(),
        "files": [_file(path, whole_hash_mib) for path in files],
    }


def _file(name: str, whole_hash_mib: int) -> dict[str, Any]:
    path = expand(name)
    if isinstance(path, RemotePath):  # its content is not read twice: the store knows when it changed
        facts = {"path": name, "num_bytes": path.num_bytes()}
        return facts | {"hash": path.version_hash(), "hash_of": "size, and the store's checksum or time"}
    num_bytes = path.stat().st_size
    whole = num_bytes <= whole_hash_mib * _MIB
    return {
        "path": name,
        "num_bytes": num_bytes,
        "hash": content_hash(path) if whole else _ends_hash(path, num_bytes),
        "hash_of": "content" if whole else "size, first and last MiB",
    }


def _ends_hash(path: Path, num_bytes: int) -> str:
    digest = hashlib.sha256(str(num_bytes).encode())
    with path.open("rb") as stream:
        digest.update(stream.read(_MIB))
        stream.seek(num_bytes - _MIB)
        digest.update(stream.read(_MIB))
    return digest.hexdigest()
