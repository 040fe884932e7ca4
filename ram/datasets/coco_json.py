"""COCO JSON, checked once: images, categories and annotations whose fields are there and of their types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.io.documents import parse_json
from ram.io.remote import RemotePath

_ID = (int, str)


@dataclass(frozen=True, slots=True)
class CocoDocument:
    """What one file says. Its annotations may still refer to images or categories that it does not describe."""

    path: Path | RemotePath
    images: dict[int | str, dict[str, Any]]  # by id: file_name, and width and height where they are given
    categories: dict[int | str, str]
    annotations: list[dict[str, Any]]


def read_coco(path: Path | RemotePath) -> CocoDocument:
    """Raises `ValueError` that names the file, the entry and the field."""
    with path.open("rb") as stream:
        document = parse_json(stream.read(), str(path))
    if not isinstance(document, Mapping):
        raise ValueError(f"{path} must be a JSON object with images and annotations, got {type(document).__name__}")
    images: dict[int | str, dict[str, Any]] = {}
    for number, image in enumerate(_entries(document, "images", path)):
        where = f"{path}: images[{number}]"
        image_id = _field(image, "id", _ID, where)
        if not _field(image, "file_name", str, where):
            raise ValueError(f"{where} has an empty file_name; mend the JSON")
        if image_id in images:
            raise ValueError(f"{where} has the id {image_id!r} of an earlier one; mend the JSON")
        images[image_id] = image
    categories = {
        _field(c, "id", _ID, f"{path}: categories[{i}]"): _field(c, "name", str, f"{path}: categories[{i}]")
        for i, c in enumerate(_entries(document, "categories", path, required=False))
    }
    annotations = list(_entries(document, "annotations", path))
    for number, annotation in enumerate(annotations):
        _check_annotation(annotation, f"{path}: annotations[{number}]")
    return CocoDocument(path, images, categories, annotations)


def _check_annotation(annotation: Mapping[str, Any], where: str) -> None:
    _field(annotation, "image_id", _ID, where)
    if "caption" in annotation:
        _field(annotation, "caption", str, where)
    if "category_id" in annotation:
        _field(annotation, "category_id", _ID, where)
    for number, segment in enumerate(annotation.get("segments_info") or ()):
        _field(segment, "category_id", _ID, f"{where}.segments_info[{number}]")
    if "bbox" in annotation:
        box = _field(annotation, "bbox", list, where)
        numbers = [v for v in box if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
        if len(numbers) != 4 or len(box) != 4 or numbers[2] < 0 or numbers[3] < 0:
            raise ValueError(
                f"{where}.bbox must be [x, y, width, height] in pixels, got {str(box)[:80]}; mend the JSON"
            )


def _entries(document: Mapping[str, Any], name: str, path: Any, required: bool = True) -> Sequence[Any]:
    if name not in document:
        if required:
            raise ValueError(
                f"{path} is no COCO JSON: it lacks {name!r}; it has {', '.join(sorted(document)) or 'nothing'}"
            )
        return []
    if not isinstance(document[name], list):
        raise ValueError(f"{path}: {name} must be a list, got {type(document[name]).__name__}; mend the JSON")
    return document[name]


def _field(entry: Any, name: str, kind: Any, where: str) -> Any:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} must be an object, got {str(entry)[:80]!r}; mend the JSON")
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, kind):
        wanted = " or ".join(k.__name__ for k in kind) if isinstance(kind, tuple) else kind.__name__
        raise ValueError(f"{where}.{name} must be {wanted}, got {str(value)[:80]!r}; mend the JSON")
    return value
