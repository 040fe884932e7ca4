"""The images of a benchmark, by the names that its labels have for them: in a folder, a tar, or shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ram.datasets.folder import walk
from ram.datasets.source import expand, find_files
from ram.evaluation.label_formats import Problems
from ram.io.images import SUFFIXES, FileRanges, open_image, read_file
from ram.io.remote import RemotePath
from ram.io.tars import TarError, each_member


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an image's bytes are; the whole file where `num_bytes` is -1."""

    path: Path
    offset: int = 0
    num_bytes: int = -1


class ImageFinder:
    """Images by name. `open` never fails: an image that cannot be read is blank, and stands in `broken`.

    So one broken image does not stop an evaluation; whoever asks must leave its scores out.
    """

    def __init__(self, places: Iterable[tuple[str, _Place]]) -> None:
        self._places = dict(places)
        self.broken: dict[str, str] = {}
        self._by: list[dict[str, list[str]]] = [{}, {}, {}]
        for name in self._places:
            for table, key in zip(self._by, _looser(name), strict=True):
                table.setdefault(key, []).append(name)
        self._files = FileRanges()

    def __len__(self) -> int:
        return len(self._places)

    def find(self, name: str) -> list[str]:
        """The images that `name` may mean: by its path, else without suffix, else by file name, else by its stem."""
        name = name.removeprefix("./")
        if name in self._places:
            return [name]
        keys = (name if not _is_image(name) else _looser(name)[0], PurePosixPath(name).name, _looser(name)[2])
        return next((table[key] for table, key in zip(self._by, keys, strict=True) if key in table), [])

    def locate(self, names: Sequence[str], problems: Problems) -> tuple[np.ndarray, list[str]]:
        """Numbers of the names whose image is there, and those images; the others are counted in `problems`."""
        numbers, found = [], []
        taken: dict[str, str] = {}
        for number, name in enumerate(names):
            candidates = self.find(name)
            if len(candidates) == 1 and taken.setdefault(candidates[0], name) == name:
                numbers.append(number)
                found.append(candidates[0])
            elif not candidates:
                problems.add("missing_image", name)
            elif len(candidates) > 1:
                problems.add("ambiguous_image", f"{name}: {', '.join(candidates[:3])}")
            else:
                problems.add("repeated_image", f"{name} and {taken[candidates[0]]}: {candidates[0]}")
        return np.array(numbers, dtype=np.int64), found

    def open(self, name: str, min_size: int | None = None) -> Image.Image:
        """The RGB image; with `min_size`, perhaps decoded smaller, no side under it."""
        try:
            return open_image(self._read(self._places[name]), min_size=min_size)
        except OSError as error:
            self.broken[name] = str(error)
            return Image.new("RGB", (64, 64))

    def _read(self, place: _Place) -> bytes:
        if place.num_bytes < 0:
            return read_file(place.path)
        return self._files.read(place.path, place.offset, place.num_bytes)


def find_images(path: str) -> ImageFinder:
    """The images of a folder, with all below it, of a tar, or of the tars that a pattern matches.

    A folder of tars and no images is taken for shards. `ValueError` where there is no image at all.
    """
    root = expand(path)
    if isinstance(root, RemotePath):
        raise ValueError(f"{path}: images to evaluate on are read from this machine; copy them here")
    if root.is_dir():
        places = [(file.relative_to(root).as_posix(), _Place(file)) for file in sorted(walk(root))]
        if not places:
            places = [place for tar in sorted(walk(root, (".tar",))) for place in _in_tar(tar)]
    else:
        tars = [expand(name) for name in find_files(path)]
        places = [place for tar in tars if isinstance(tar, Path) for place in _in_tar(tar)]
    if not places:
        raise ValueError(f"no image in {root}; images end in {', '.join(SUFFIXES)}")
    return ImageFinder(places)


def _in_tar(path: Path) -> list[tuple[str, _Place]]:
    try:
        with path.open("rb") as stream:
            return [
                (member.name.removeprefix("./"), _Place(path, member.offset, member.num_bytes))
                for member in each_member(stream)
                if member.is_file and _is_image(member.name)
            ]
    except TarError as error:
        raise ValueError(f"{path}: {error}; write it anew") from error


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _looser(name: str) -> tuple[str, str, str]:
    """The path without suffix, the file name, and the file name without suffix."""
    path = PurePosixPath(name)
    file = path.name
    stem = file[: -len(path.suffix)] if _is_image(file) else file
    return str(path.with_name(stem)) if stem else name, file, stem
