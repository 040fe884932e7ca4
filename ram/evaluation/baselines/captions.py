"""What the captions of an image say: parsed into tags, as training data are. It looks at no image."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ram.datasets.coco_json import read_coco
from ram.datasets.source import expand
from ram.datasets.table import table_rows
from ram.evaluation.baselines.interface import Asked, NameScorer, read_label_system
from ram.evaluation.mapping import MappedName
from ram.io.documents import parse_json
from ram.labels.tagging import CaptionTagger
from ram.labels.wordnet import load_wordnet

_IMAGES_AT_ONCE = 512


class CaptionParse(NameScorer):
    """A name's score is the share of an image's captions that name one of its tags, or a kind of it; 0 without captions.

    A name that is no tag of the label system is never said.
    """

    looks_at_images = False

    def __init__(self, source: str) -> None:
        self.label_system = read_label_system(source)
        self._tagger = CaptionTagger(self.label_system, load_wordnet(), implied_parents=True, implied_things="none")

    def scores(self, asked: Asked, names: Sequence[MappedName]) -> Iterator[np.ndarray]:
        """See `NameScorer`. `ValueError` where no image has a caption; how many have none is said."""
        without = sum(not asked.captions.get(image) for image in asked.images)
        if without == len(asked.images):
            raise ValueError("no image of the benchmark has a caption; give a file of theirs with --captions")
        if without:
            print(f"{without} of {len(asked.images)} images have no caption: nothing is said of them", file=sys.stderr)
        tags_of = [{tag.tag_id for tag in name.tags} for name in names]
        for start in range(0, len(asked.images), _IMAGES_AT_ONCE):
            images = asked.images[start : start + _IMAGES_AT_ONCE]
            said = self._said([asked.captions.get(image, ()) for image in images])
            scores_BK = np.zeros((len(images), len(names)), np.float32)
            for row, captions in enumerate(said):
                for k, tags in enumerate(tags_of):
                    num = sum(bool(tags & stated) for stated in captions)
                    scores_BK[row, k] = num / max(len(captions), 1)
            yield scores_BK

    def _said(self, groups: Sequence[Sequence[str]]) -> list[list[set[int]]]:
        """The tag ids that every caption of every image states."""
        from ram.captions import clean_caption, parse_captions

        flat = [clean_caption(caption) for captions in groups for caption in captions]
        parsed = iter(parse_captions(flat))
        found = []
        for captions in groups:
            stated = [self._tagger([(p.text, p.kind) for p in next(parsed)]) for _ in captions]
            found.append([one.named | one.implied for one in stated])
        return found

    def thresholds(self, names: Sequence[MappedName]) -> tuple[np.ndarray, str]:
        """Any caption that says so is a yes."""
        return np.full(len(names), np.finfo(np.float32).tiny), "any caption that says so"

    def facts(self) -> dict[str, Any]:
        """The version of the label system whose tags are looked for."""
        assert self.label_system is not None
        return {"label_system": self.label_system.version}


def read_captions(path: str, images: Sequence[str]) -> dict[str, list[str]]:
    """The captions of these images: of COCO's JSON, of JSON lines (image or id, captions), or of a table (image, caption).

    An image goes by its whole name, else by its file's, with or without suffix.
    """
    file = expand(path)
    if not isinstance(file, Path) or not file.is_file():
        raise ValueError(f"no file of captions at {file}")
    by_name: dict[str, list[str]] = defaultdict(list)
    for name, caption in _caption_rows(file):
        by_name[name].append(caption)
    loosely: dict[str, list[str]] = {}
    for name, captions in by_name.items():
        loosely.setdefault(PurePosixPath(name).stem, captions)
    found = {p: by_name.get(p) or by_name.get(PurePosixPath(p).name) or loosely.get(_stem(p), []) for p in images}
    return {image: captions for image, captions in found.items() if captions}


def _stem(image: str) -> str:
    return PurePosixPath(image).stem


def _caption_rows(file: Path) -> Iterator[tuple[str, str]]:
    if file.suffix == ".json":
        document = read_coco(file)
        for annotation in document.annotations:
            if annotation["image_id"] in document.images and "caption" in annotation:
                yield document.images[annotation["image_id"]]["file_name"], annotation["caption"]
        return
    rows: Iterator[Mapping[str, Any]]
    if file.suffix == ".jsonl":
        lines = enumerate(file.read_text(encoding="utf-8").split("\n"), start=1)
        rows = (_object(line, f"{file}, line {number}") for number, line in lines if line.strip())
    else:
        rows = table_rows(file)
    for row in rows:
        said = row.get("captions", row.get("caption"))
        name = row.get("image", row.get("id"))
        if name is None or said is None:
            raise ValueError(
                f"{file}: a row wants image (or id) and caption (or captions), got {sorted(map(str, row))}"
            )
        yield from ((str(name), str(caption)) for caption in ([said] if isinstance(said, str) else said))


def _object(line: str, where: str) -> Mapping[str, Any]:
    found = parse_json(line, where)
    if not isinstance(found, Mapping):
        raise ValueError(f"{where} must be a JSON object, got {line[:40]!r}")
    return found
