"""pairs -> caption_embeddings: the text embedding of every caption to train on, by the frozen text encoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from ram.io.tables import MappedTable, PartMap, Table, as_arrow, content_hash, list_column
from ram.model.params import ModelParams
from ram.model.precision import has_bf16
from ram.model.text_encoder import TextEncoder, make_text_encoder
from ram.pipeline.catalog import artifact

SHARED_PARAMS = {"model": ("text_encoder",)}
_BATCH_SIZE = 65_536  # captions embedded at a time: bounds memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    model: ModelParams


class Inputs(NamedTuple):
    pairs: Table


class Outputs(NamedTuple):
    caption_embeddings: MappedTable


def run(inputs: Inputs, params: Params) -> Outputs:
    """A part for each part of `pairs`; a part of the same captions as one of the last run is not embedded again."""
    parts = inputs.pairs.part_paths
    precision = "bf16" if has_bf16(torch.device("cpu")) else "fp32"  # what `embed_captions` computes in
    keys = [f"{content_hash(path)}-{precision}" for path in parts]
    function = partial(embed_part, text_encoder=params.model.text_encoder)
    return Outputs(PartMap(function, parts, "captions embedded", keys).output())


def embed_part(path: Path, text_encoder: str) -> pa.Table:
    """The embeddings of the train captions of one part of `pairs`."""
    schema = artifact("caption_embeddings").schema
    assert schema is not None
    found = [schema.empty_table()]
    columns = ["image_id", "split", "caption_index", "caption"]
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_BATCH_SIZE, columns=columns):
        batch = batch.filter(pc.equal(batch["split"], "train"))
        if not batch.num_rows:
            continue
        embedding_CE = _encoder(text_encoder).embed_captions(batch["caption"].to_pylist())
        rows = {
            "image_id": batch["image_id"],
            "caption_index": batch["caption_index"],
            "text_encoder": pa.array([text_encoder] * len(embedding_CE)),
            "embedding": list_column(embedding_CE),
        }
        found.append(as_arrow(pa.table(rows), schema))
    return pa.concat_tables(found).unify_dictionaries()


@lru_cache(maxsize=1)
def _encoder(text_encoder: str) -> TextEncoder:
    """Once a process, since a process takes many parts."""
    return make_text_encoder(text_encoder)
