"""caption_phrases, label_system -> parsed_tags: the tags that an image's captions name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from ram.io.tables import MappedTable, PartMap, Table
from ram.labels import LabelSystem
from ram.labels.implications import Extent
from ram.labels.tagging import CaptionTagger, tag_images
from ram.labels.wordnet import load_wordnet
from ram.pipeline.catalog import CATALOG


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """Tags that no caption names come with origin `implied`."""

    implied_parents: bool  # a man is a person; a poodle, where that is no tag, a dog
    implied_things: Extent  # none; sure: a surfer has a surfboard; likely: a kitchen has an oven, too

    def __post_init__(self) -> None:
        if self.implied_things not in get_args(Extent):
            raise ValueError(
                f"implied_things must be one of {', '.join(get_args(Extent))}, got {self.implied_things!r}"
            )


class Inputs(NamedTuple):
    caption_phrases: Table
    label_system: dict[str, Any]


class Outputs(NamedTuple):
    parsed_tags: MappedTable


def run(inputs: Inputs, params: Params) -> Outputs:
    """A part of the table for each part of `caption_phrases`, which holds all captions of its images."""
    function = partial(tag_part, label_system=inputs.label_system, params=params)
    return Outputs(parsed_tags=PartMap(function, inputs.caption_phrases.part_paths, "captions tagged").output())


def tag_part(path: Path, label_system: dict[str, Any], params: Params) -> pa.Table:
    """One row an (image, tag) of one part, in the order of the images and of the tag ids."""
    tagger = CaptionTagger(
        LabelSystem.from_json(label_system),
        load_wordnet(),
        implied_parents=params.implied_parents,
        implied_things=params.implied_things,
    )
    rows = [
        {"image_id": image_id, "tag_id": tag_id, "origin": origin, "score": 1.0, "caption_indices": captions}
        for image_id, tags in tag_images(_phrases(path), tagger)
        for tag_id, (origin, captions) in tags.items()
    ]
    return pa.Table.from_pylist(rows, CATALOG["parsed_tags"].schema)


def _phrases(path: Path) -> Iterator[tuple[str, int, str, str]]:
    for batch in pq.ParquetFile(path).iter_batches(columns=["image_id", "caption_index", "phrase", "kind"]):
        yield from zip(*(batch.column(i).to_pylist() for i in range(4)), strict=True)
