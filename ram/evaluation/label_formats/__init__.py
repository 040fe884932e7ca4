"""Images with labels as published files have them: one module a format, and the registry of the formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from ram.datasets.source import expand
from ram.evaluation.label_formats import annotation_list, coco, masks, open_images, table, voc
from ram.evaluation.label_formats.description import KNOWN, Description, describe
from ram.evaluation.label_formats.labels import Labeled, Problems

FORMATS: dict[str, Callable[[Description, Problems], Labeled]] = {
    "annotation_list": annotation_list.read,
    "coco": coco.read,
    "masks": masks.read,
    "open_images": open_images.read,
    "table": table.read,
    "voc": voc.read,
}


def read_labels(description: Description, problems: Problems) -> Labeled:
    """The labels that a description names; what in the files cannot be used is counted in `problems`.

    `ValueError` for an unknown format, a file that is not there or not of its format, and for no label at all.
    """
    if description.format not in FORMATS:
        raise ValueError(f"benchmark {description.name} has format {description.format!r}; known: {', '.join(FORMATS)}")
    if not description.labels:
        raise ValueError(f"benchmark {description.name} wants the files of its labels: give labels")
    labeled = FORMATS[description.format](description, problems)
    if description.split is not None:
        labeled = _of_split(labeled, description.split, problems)
    if not labeled.num_positives:
        raise ValueError(
            f"the labels of benchmark {description.name} have no positive that can be used: {problems or 'none is there'}"
        )
    return labeled


def _of_split(labeled: Labeled, split: str, problems: Problems) -> Labeled:
    """The images that a file lists, one a line; what stands behind a name, as in VOC's lists, says nothing here."""
    path = expand(split)
    if not isinstance(path, Path) or not path.is_file():
        raise ValueError(f"no list of images at {path}; mend split")
    listed = {line.split()[0]: False for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    chosen = []
    for number, image in enumerate(labeled.images):
        called = next((n for n in (image, str(PurePosixPath(image).with_suffix(""))) if n in listed), None)
        if called is not None:
            listed[called] = True
            chosen.append(number)
    for name, has_labels in listed.items():
        if not has_labels:
            problems.add("image_without_labels", name)
    return labeled.of_images(np.array(chosen, dtype=np.int64))


__all__ = ["FORMATS", "KNOWN", "Description", "Labeled", "Problems", "describe", "read_labels"]
