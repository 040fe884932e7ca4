"""caption_phrases, label_system -> parsed_tags: the tags that an image's captions name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ram.catalog import CATALOG
from ram.label_system import LabelSystem
from ram.label_system.resolve import Resolver
from ram.label_system.wordnet import load_wordnet
from ram.storage import MappedTable, PartMap, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    implied_parents: bool  # a man is a person: adds the parents of a tag, with origin `implied`


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
    tags = LabelSystem.from_json(label_system)
    resolve = Resolver(tags, load_wordnet())
    named: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for batch in pq.ParquetFile(path).iter_batches(columns=["image_id", "caption_index", "phrase", "kind"]):
        columns = [batch.column(i).to_pylist() for i in range(4)]
        for image_id, caption_index, phrase, kind in zip(*columns, strict=True):
            if tag := resolve(phrase, kind):
                named[image_id][tag.tag_id].add(caption_index)
    rows = [
        {
            "image_id": image_id,
            "tag_id": tag_id,
            "origin": origin,
            "score": 1.0,
            "caption_indices": sorted(captions),
        }
        for image_id, by_tag in named.items()
        for tag_id, (origin, captions) in sorted(_with_parents(by_tag, tags, params.implied_parents).items())
    ]
    return pa.Table.from_pylist(rows, CATALOG["parsed_tags"].schema)


def _with_parents(by_tag: dict[int, set[int]], tags: LabelSystem, implied: bool) -> dict[int, tuple[str, set[int]]]:
    """tag_id -> (origin, captions); a parent that a caption names itself stays of origin `caption`."""
    found = {tag_id: ("caption", captions) for tag_id, captions in by_tag.items()}
    if implied:
        for tag_id, captions in by_tag.items():
            for name in tags[tag_id].parents:
                parent = tags.find(name)
                assert parent is not None, name
                _, known = found.setdefault(parent.tag_id, ("implied", set()))
                if parent.tag_id not in by_tag:
                    known |= captions
    return found
