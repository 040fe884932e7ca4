"""pairs -> caption_phrases: find the phrases in every caption."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ram.caption_parsing import clean_caption, parse_captions, skip_reason
from ram.catalog import CATALOG
from ram.storage import MappedTable, PartMap, Table

_BATCH_SIZE = 10_000  # captions parsed at a time: bounds memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    max_words: int  # longer captions are skipped, and counted
    max_chars: int  # so are these; measured before cleaning

    def __post_init__(self) -> None:
        if self.max_words < 1 or self.max_chars < 1:
            raise ValueError(f"max_words and max_chars must be at least 1, got {self.max_words} and {self.max_chars}")


class Inputs(NamedTuple):
    pairs: Table
    pairs_check: dict[str, Any]


class Outputs(NamedTuple):
    caption_phrases: MappedTable
    skipped_captions: MappedTable


def run(inputs: Inputs, params: Params) -> Outputs:
    """A part of both tables for each part of `pairs`: the captions of an image stay together."""
    work = PartMap(partial(parse_part, params=params), inputs.pairs.part_paths, "captions parsed")
    return Outputs(caption_phrases=work.output(0), skipped_captions=work.output(1))


def parse_part(path: Path, params: Params) -> tuple[pa.Table, pa.Table]:
    """The phrases of the captions of one part of `pairs`, and the captions that were skipped."""
    phrases = [_table("caption_phrases", [])]
    skipped = [_table("skipped_captions", [])]
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH_SIZE):
        found, refused = _parse_rows(batch.to_pylist(), params)
        phrases.append(_table("caption_phrases", found))
        skipped.append(_table("skipped_captions", refused))
    return pa.concat_tables(phrases).unify_dictionaries(), pa.concat_tables(skipped)


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, CATALOG[name].schema)


def _parse_rows(rows: list[dict[str, Any]], params: Params) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    kept, captions, skipped = [], [], []
    for row in rows:
        caption = clean_caption(row["caption"][: params.max_chars])
        refusal = skip_reason(row["caption"], caption, params.max_words, params.max_chars)
        if refusal is None:
            kept.append(row)
            captions.append(caption)
        else:
            reason, detail = refusal
            key = {name: row[name] for name in ("image_id", "caption_index")}
            skipped.append(key | {"reason": reason, "detail": detail})
    keys = ("image_id", "split", "caption_index")
    found = [
        {name: row[name] for name in keys} | {"phrase": phrase.text, "kind": phrase.kind}
        for row, phrases in zip(kept, parse_captions(captions), strict=True)
        for phrase in phrases
    ]
    return found, skipped
