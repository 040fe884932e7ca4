"""What a benchmark is made of: its files, their format, and the known ones' defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ram.io.documents import parse_yaml
from ram.pipeline.catalog import artifact
from ram.pipeline.params import from_mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """One benchmark. Paths of a YAML file are relative to it."""

    name: str
    format: str  # a key of FORMATS
    labels: tuple[str, ...] = ()  # files, or the folder, that the labels are in
    images: str | None = None  # a folder, a tar, or a pattern of shards; None: for models that look at none
    names: str | None = None  # the tag list, where the format wants one or some of the names are to be left out
    classes: str | None = None  # open_images: the CSV of ids and names
    split: str | None = None  # a file of image names, one a line: these alone
    captions: str | None = None  # COCO captions, JSON lines, or a table: for the caption baseline
    unseen: tuple[str, ...] | Literal["all"] = ()  # names that no model should have trained on
    unlabeled: Literal["negative", "unknown"] | None = None  # what a pair is that no label speaks of; None: as usual
    num_names: int | None = None  # of the published benchmark: another number is reported
    num_images: int | None = None

    def __post_init__(self) -> None:
        if self.unlabeled not in (None, "negative", "unknown"):
            raise ValueError(f"unlabeled must be negative or unknown, got {self.unlabeled!r}")

    def is_complete(self, usual: bool) -> bool:
        """Whether pairs without a label are negatives; `usual` is the format's own custom."""
        return usual if self.unlabeled is None else self.unlabeled == "negative"


def _listed(vocabulary: str) -> str:
    return str(artifact("vocabularies").path / f"{vocabulary}.txt")


# Sizes: RAM (arXiv 2306.03514), table 1; RAM++ (arXiv 2310.15200) and its published lists; PASCAL VOC 2007, test.
KNOWN: dict[str, dict[str, Any]] = {
    "coco80": {"format": "coco", "num_names": 80, "num_images": 5000},
    "coco133": {"format": "coco", "num_names": 133, "num_images": 5000},
    "oi_common214": {
        "format": "annotation_list",
        "names": _listed("oi_common214"),
        "num_names": 214,
        "num_images": 57224,
    },
    "oi_rare200": {
        "format": "annotation_list",
        "names": _listed("oi_rare200"),
        "num_names": 200,
        "num_images": 21991,
        "unseen": "all",
    },
    "imagenet_multi": {"format": "annotation_list", "num_names": 1000, "num_images": 50000},
    "ade20k": {"format": "masks", "names": _listed("ade20k150"), "num_names": 150, "num_images": 2000},
    "hico": {"format": "annotation_list", "num_names": 600, "num_images": 9658},
    "voc": {"format": "voc", "names": _listed("voc20"), "num_names": 20, "num_images": 4952},
    "table": {"format": "table"},
}
_PATHS = ("images", "names", "classes", "split", "captions")


def describe(benchmark: str, **changes: Any) -> Description:
    """The description called `benchmark`: one of `KNOWN`, or a YAML file. `changes` that are not None replace fields.

    Raises `ValueError` for an unknown name, listing the known ones, and for unknown fields.
    """
    path = Path(benchmark)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ValueError(f"no description of a benchmark at {path}")
        fields = _from_yaml(path)
    elif benchmark in KNOWN:
        fields = {"name": benchmark, **KNOWN[benchmark]}
    else:
        raise ValueError(
            f"unknown benchmark {benchmark!r}; known: {', '.join(KNOWN)}, or a YAML file that describes one"
        )
    fields |= {name: value for name, value in changes.items() if value is not None}
    found: Description = from_mapping(Description, fields, where=f"benchmark {fields.get('name', benchmark)}")
    return found


def _from_yaml(path: Path) -> dict[str, Any]:
    content = parse_yaml(path.read_text(encoding="utf-8"), path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must be a mapping of the fields {', '.join(_fields())}")
    fields = dict(content)
    if base := fields.pop("benchmark", None):
        if base not in KNOWN:
            raise ValueError(f"{path}: unknown benchmark {base!r}; known: {', '.join(KNOWN)}")
        fields = {"name": base, **KNOWN[base], **fields}
    labels = fields.get("labels", ())
    fields["labels"] = [labels] if isinstance(labels, str) else list(labels)
    own = set(content)
    fields["labels"] = [_beside(path, name) for name in fields["labels"]]
    return fields | {name: _beside(path, fields[name]) for name in _PATHS if name in own and fields[name]}


def _beside(path: Path, relative: str) -> str:
    return relative if relative.startswith("$") else str(path.parent / relative)


def _fields() -> list[str]:
    return [field.name for field in dataclasses.fields(Description)]
