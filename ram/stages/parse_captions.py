"""pairs -> caption_phrases: find the phrases in every caption.

The dependency parser reads every caption in full. The dictionary is distilled from what that parser says of some captions of
the corpus, and looks the words of all captions up: for millions of captions.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ram.captions import Phrase, clean_caption, parse_captions, skip_reason
from ram.captions.distilled.decode import DictionaryParser
from ram.captions.distilled.distillation import agreement, distil_table
from ram.captions.distilled.model import PhraseTable
from ram.io.progress import track
from ram.io.tables import MappedTable, PartMap, Table, content_hash, part_path, read_json, write_json, write_part
from ram.pipeline.catalog import CATALOG, KINDS
from ram.pipeline.executors import Engine

_BATCH_SIZE = 10_000  # captions parsed at a time: bounds memory
_HELD_OUT = 20  # of the parsed sample, one caption in so many tells how well the dictionary agrees with the parser

Parser = Literal["dependency", "dictionary"]
_SAMPLE = pa.schema([("caption", pa.string()), ("phrases", pa.list_(pa.string())), ("kinds", pa.list_(pa.string()))])


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    max_words: int  # longer captions are skipped, and counted
    max_chars: int  # so are these; measured before cleaning
    parser: Parser  # dependency | dictionary
    num_distilled: int  # captions, drawn over the corpus, that the dictionary is distilled from
    seed: int

    def __post_init__(self) -> None:
        if self.max_words < 1 or self.max_chars < 1:
            raise ValueError(f"max_words and max_chars must be at least 1, got {self.max_words} and {self.max_chars}")
        if self.num_distilled < 1:
            raise ValueError(f"num_distilled must be at least 1, got {self.num_distilled}; 25000 is a good number")


class Inputs(NamedTuple):
    pairs: Table
    pairs_check: dict[str, Any]
    scratch: Path
    engine: Engine


class Outputs(NamedTuple):
    caption_phrases: MappedTable
    skipped_captions: MappedTable
    phrase_table: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """A part of both tables for each part of `pairs`: the captions of an image stay together.

    A part of the same captions as one of the last run is not parsed again.
    """
    keys = [content_hash(path) for path in inputs.pairs.part_paths]
    if params.parser == "dependency":
        document: dict[str, Any] = {"parser": "dependency", "num_distilled": 0, "agreement": None, "table": None}
        function = partial(parse_part, params=params)
    else:
        table_path = inputs.scratch / "phrase_table.json"
        if not table_path.is_file():
            write_json(_distilled(inputs, params), table_path)
        document = read_json(table_path)
        function = partial(look_up_part, params=params, table_path=table_path)
        keys = [f"{key} {content_hash(table_path)}" for key in keys]
    work = PartMap(function, inputs.pairs.part_paths, "captions parsed", keys)
    return Outputs(caption_phrases=work.output(0), skipped_captions=work.output(1), phrase_table=document)


def parse_part(path: Path, params: Params) -> tuple[pa.Table, pa.Table]:
    """The phrases of the captions of one part of `pairs` by the dependency parser, and the captions that were skipped."""
    phrases = [_table("caption_phrases", [])]
    skipped = [_table("skipped_captions", [])]
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH_SIZE):
        found, refused = _parse_rows(batch.to_pylist(), params)
        phrases.append(_table("caption_phrases", found))
        skipped.append(_table("skipped_captions", refused))
    return pa.concat_tables(phrases).unify_dictionaries(), pa.concat_tables(skipped)


def look_up_part(path: Path, params: Params, table_path: Path) -> tuple[pa.Table, pa.Table]:
    """As `parse_part`, by the dictionary at `table_path`."""
    parser = _dictionary(table_path, params.max_words, params.max_chars)
    phrases = [_table("caption_phrases", [])]
    skipped = [_table("skipped_captions", [])]
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH_SIZE):
        found = parser.find(batch.column("caption"))
        phrases.append(_rows_of(batch, found.captions, found.phrases, parser.phrases))
        refused = [
            {name: batch.column(name)[row].as_py() for name in ("image_id", "caption_index")}
            | {"reason": reason, "detail": detail}
            for row, (reason, detail) in sorted(found.refused.items())
        ]
        skipped.append(_table("skipped_captions", refused))
    return pa.concat_tables(phrases).unify_dictionaries(), pa.concat_tables(skipped)


@lru_cache(maxsize=1)
def _dictionary(table_path: Path, max_words: int, max_chars: int) -> DictionaryParser:
    """Once a process, since a process takes many parts."""
    table = PhraseTable.from_json(read_json(table_path)["table"])
    return DictionaryParser(table, max_words=max_words, max_chars=max_chars)


def _rows_of(batch: pa.RecordBatch, captions: np.ndarray, found: np.ndarray, phrases: Sequence[Phrase]) -> pa.Table:
    """Rows of caption_phrases, column by column: rows of Python objects would take longer than the parsing."""
    rows = pa.array(captions)
    kinds = np.array([KINDS.index(phrase.kind) for phrase in phrases], np.int8)
    columns = {name: batch.column(name).take(rows) for name in ("image_id", "split", "caption_index")}
    columns["phrase"] = pa.array([phrase.text for phrase in phrases], pa.string()).take(pa.array(found))
    columns["kind"] = pa.DictionaryArray.from_arrays(pa.array(kinds[found], pa.int8()), pa.array(KINDS))
    return pa.table(columns, schema=CATALOG["caption_phrases"].schema)


def _distilled(inputs: Inputs, params: Params) -> dict[str, Any]:
    """The phrase table and how well it agrees with the parser on captions that it was not distilled from."""
    share = min(params.num_distilled / max(inputs.pairs.num_rows, 1), 1.0)
    directory = inputs.scratch / "sample"
    parts = inputs.pairs.part_paths
    todo = [(i, path) for i, path in enumerate(parts) if not part_path(directory, i).exists()]
    function = partial(sample_part, directory=directory, params=params, share=share)
    for _ in track(inputs.engine.map(function, todo), "sample of captions parsed in full", len(todo), "part"):
        pass
    captions, phrases = _read_sample(Table(directory, _SAMPLE)) if parts else ([], [])
    held_out = [i % _HELD_OUT == _HELD_OUT - 1 for i in range(len(captions))]
    learned = [(c, p) for c, p, held in zip(captions, phrases, held_out, strict=True) if not held]
    table = distil_table([c for c, _ in learned], [p for _, p in learned], seed=params.seed)
    parser = DictionaryParser(table, max_words=params.max_words, max_chars=params.max_chars)
    measured = [(c, p) for c, p, held in zip(captions, phrases, held_out, strict=True) if held]
    agrees = agreement(parser.parse([c for c, _ in measured]), [p for _, p in measured])
    print(
        f"dictionary of {len(table.classes)} words from {len(learned)} captions; agrees with the dependency parser on the "
        f"phrases of {len(measured)} others: F1 {agrees['f1']:.3f}",
        file=sys.stderr,
    )
    numbers = {"num_captions": len(measured), **agrees}
    return {"parser": "dictionary", "num_distilled": len(learned), "agreement": numbers, "table": table.to_json()}


def sample_part(item: tuple[int, Path], directory: Path, params: Params, share: float) -> None:
    """Parse a share of the captions of one part in full, chosen by a hash, and write them as a part of `directory`."""
    index, path = item
    tables = [_SAMPLE.empty_table()]
    for batch in pq.ParquetFile(path).iter_batches(
        batch_size=_BATCH_SIZE, columns=["image_id", "caption_index", "caption"]
    ):
        rows = [row for row in batch.to_pylist() if _is_drawn(row, params.seed, share)]
        _, captions, _ = _clean_rows(rows, params)
        found = parse_captions(captions)
        columns = [captions, [[p.text for p in own] for own in found], [[p.kind for p in own] for own in found]]
        tables.append(pa.table(columns, schema=_SAMPLE))
    write_part(pa.concat_tables(tables), directory, index, _SAMPLE)


def _is_drawn(row: dict[str, Any], seed: int, share: float) -> bool:
    return zlib.crc32(f"{seed} {row['caption_index']} {row['image_id']}".encode()) < share * 2**32


def _read_sample(sample: Table) -> tuple[list[str], list[list[Phrase]]]:
    rows = sample.read().to_pylist()
    phrases = [list(map(Phrase, row["phrases"], row["kinds"])) for row in rows]
    return [row["caption"] for row in rows], phrases


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, CATALOG[name].schema)


def _clean_rows(
    rows: list[dict[str, Any]], params: Params
) -> tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]:
    """The rows to be parsed, their cleaned captions, and the rows of skipped_captions for the others."""
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
    return kept, captions, skipped


def _parse_rows(rows: list[dict[str, Any]], params: Params) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    kept, captions, skipped = _clean_rows(rows, params)
    keys = ("image_id", "split", "caption_index")
    found = [
        {name: row[name] for name in keys} | {"phrase": phrase.text, "kind": phrase.kind}
        for row, phrases in zip(kept, parse_captions(captions), strict=True)
        for phrase in phrases
    ]
    return found, skipped
