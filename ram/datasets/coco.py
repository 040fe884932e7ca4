"""COCO JSON: captions and instances, with the images in a folder or in a plain tar."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from ram.datasets.coco_json import CocoDocument, read_coco
from ram.datasets.source import (
    IMAGE_SUFFIXES,
    MAX_IMAGE_BYTES,
    Benchmark,
    Box,
    FileSource,
    Label,
    Refusal,
    Sample,
    expand,
    files_under,
    find_files,
    read_inside,
)
from ram.io.remote import RemotePath
from ram.io.tars import TarError, each_member

IMAGES_PER_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the annotations; in a tar, `offset` and `num_bytes` say where its bytes are."""

    file_name: str
    captions: tuple[str, ...]
    labels: tuple[Label, ...]
    offset: int = -1
    num_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CocoChunk:
    images_path: Path | RemotePath
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coco(FileSource):
    """Annotations with `caption` give captions, those with `category_id` labels; all `categories` count as labeled.

    `path` is the tar or the folder of the images. Boxes, where there are any, are [x, y, width, height] in pixels.
    """

    annotations: tuple[str, ...]  # the JSON files
    benchmark_name: str | None = None  # needed where there are categories
    unseen: tuple[str, ...] = ()
    description: str = ""
    captions: Literal["required", "optional", "off"] = "optional"

    def files(self) -> list[str]:
        names = [name for pattern in self.annotations for name in find_files(pattern)]
        images = expand(self.path)
        if images.is_dir():
            inside = (p for p in files_under(images, "**/*") if PurePosixPath(p).suffix.lower() in IMAGE_SUFFIXES)
            return names + [f"{self.path.rstrip('/')}/{p}" for p in inside]
        return names + find_files(self.path)

    def benchmark(self) -> Benchmark | None:
        names = self._categories()
        if not names:
            return None
        if self.benchmark_name is None:
            raise ValueError(f"source {self.name} has categories: set benchmark_name, the benchmark they belong to")
        if unknown := set(self.unseen) - set(names):
            raise ValueError(f"source {self.name}: unseen names {sorted(unknown)} are no categories of it")
        return Benchmark(name=self.benchmark_name, names=tuple(names), unseen=self.unseen, description=self.description)

    def _categories(self) -> list[str]:
        return sorted({name.lower() for document in self._documents() for name in document.categories.values()})

    def _documents(self) -> Iterator[CocoDocument]:
        for pattern in self.annotations:
            for name in find_files(pattern):
                yield read_coco(expand(name))

    def chunks(self, files: Sequence[str]) -> list[CocoChunk]:
        images_path = expand(self.path)
        entries = self._entries()
        if not images_path.is_dir():
            entries = _with_offsets(entries, images_path)
        starts = range(0, len(entries), IMAGES_PER_CHUNK)
        return [CocoChunk(images_path, tuple(entries[s : s + IMAGES_PER_CHUNK])) for s in starts]

    def _entries(self) -> list[Entry]:
        """One entry a file name, sorted by it, with the annotations of all JSON files together."""
        captions: dict[str, list[str]] = defaultdict(list)
        labels: dict[str, list[Label]] = defaultdict(list)
        file_names: set[str] = set()
        for document in self._documents():
            file_names.update(image["file_name"] for image in document.images.values())
            for annotation in document.annotations:
                image = _lookup(document, document.images, annotation["image_id"], "image")
                if "caption" in annotation and self.captions != "off":
                    captions[image["file_name"]].append(annotation["caption"])
                if "category_id" in annotation:
                    name = _lookup(document, document.categories, annotation["category_id"], "category").lower()
                    labels[image["file_name"]].append(Label(name=name, box=_relative_box(annotation, image)))
        return [Entry(f, tuple(captions[f]), _distinct(labels[f])) for f in sorted(file_names)]

    def read(self, chunk: CocoChunk) -> Iterator[Sample | Refusal]:
        with nullcontext() if chunk.images_path.is_dir() else chunk.images_path.open("rb") as tar:
            for entry in chunk.entries:
                path = PurePosixPath(entry.file_name)
                key = str(path.with_suffix("")) if path.name else entry.file_name
                image = _image(chunk.images_path, tar, entry)
                if isinstance(image, str):
                    yield Refusal(key=key, reason="unreadable", detail=image)
                else:
                    split = self.split_of(key)
                    yield Sample(key=key, image=image, split=split, captions=entry.captions, labels=entry.labels)


def _distinct(labels: Sequence[Label]) -> tuple[Label, ...]:
    return tuple(dict.fromkeys(labels))


def _lookup(document: CocoDocument, table: Mapping[Any, Any], key: Any, what: str) -> Any:
    if key not in table:
        raise ValueError(
            f"{document.path}: an annotation refers to {what} {key}, which the JSON does not describe; mend the JSON"
        )
    return table[key]


def _relative_box(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> Box | None:
    if "bbox" not in annotation:
        return None
    x, y, width, height = annotation["bbox"]
    if not all(isinstance(image.get(side), int | float) and image[side] > 0 for side in ("width", "height")):
        raise ValueError(f"{image['file_name']} has boxes but no width and height in the JSON; add them")
    corners = (x / image["width"], y / image["height"], (x + width) / image["width"], (y + height) / image["height"])
    x0, y0, x1, y1 = (min(max(corner, 0.0), 1.0) for corner in corners)
    return x0, y0, x1, y1


def _with_offsets(entries: Sequence[Entry], tar_path: Path | RemotePath) -> list[Entry]:
    """The entries, each with the place of its bytes in the tar; -1 where the tar has no such file."""
    try:
        with tar_path.open("rb") as stream:
            places = {m.name.removeprefix("./"): (m.offset, m.num_bytes) for m in each_member(stream) if m.is_file}
    except TarError as error:
        raise ValueError(f"{tar_path}: {error}; write it anew") from error
    missing = (-1, 0)
    return [Entry(e.file_name, e.captions, e.labels, *places.get(e.file_name, missing)) for e in entries]


def _image(images_path: Path | RemotePath, tar: BinaryIO | None, entry: Entry) -> bytes | str:
    """The bytes of an image in the tar, or in the folder, or the reason in words why there are none."""
    if tar is None:
        return read_inside(images_path, entry.file_name)
    if entry.offset < 0:
        return f"{images_path.name} has no file {entry.file_name!r}"
    if entry.num_bytes > MAX_IMAGE_BYTES:
        return f"{entry.file_name!r} has more than {MAX_IMAGE_BYTES} bytes"
    tar.seek(entry.offset)
    return tar.read(entry.num_bytes)
