"""caption_embeddings, the table -> an array of the captions of some images, which steps take rows of at random."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ram.io.arrays import RowIndex, load_array
from ram.io.tables import Table, new_array
from ram.training.examples import Examples

_IDS_AT_ONCE = 1 << 16


def captions_of(
    table: Table, index: RowIndex, text_encoder: str, columns: tuple[str, ...]
) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """(row of the image in `index`, columns), batch by batch, of the captions of its images, in the table's order.

    `ValueError` where the table was made by another text encoder than this one.
    """
    for batch in table.batches(["image_id", "text_encoder", *columns]):
        if others := set(batch["text_encoder"].unique().to_pylist()) - {text_encoder}:
            raise ValueError(
                f"{table.path} was made with text encoder {others.pop()!r}, and the model has {text_encoder!r}; "
                "run embed_captions again with the model's"
            )
        rows = index.find(batch["image_id"].to_numpy(zero_copy_only=False))
        yield rows[rows >= 0], batch.filter(pa.array(rows >= 0)).select(list(columns))


def load_embeddings(path: Path, table: Table, index: RowIndex, text_encoder: str) -> np.ndarray:
    """(captions, E) float16, memory-mapped: the embeddings of the captions of `index`'s images, in the table's order.

    Written to `path` once. Without any caption the array is (0, 0). `ValueError` as of `captions_of`.
    """
    if not path.is_file():
        num_captions = sum(len(rows) for rows, _ in captions_of(table, index, text_encoder, ()))
        partial, array, done = path.with_name(f".{path.name}"), None, 0
        for rows, batch in captions_of(table, index, text_encoder, ("embedding",)):
            if not len(rows):
                continue
            embedding_CE = batch["embedding"].flatten().to_numpy().reshape(len(rows), -1)
            if array is None:
                array = new_array(partial, np.float16, (num_captions, embedding_CE.shape[1]), "caption embeddings")
            array[done : done + len(rows)] = embedding_CE
            done += len(rows)
        if array is None:
            return np.empty((0, 0), np.float16)
        array.flush()
        partial.replace(path)
    return load_array(path)


def example_embeddings(examples: Examples, table: Table, text_encoder: str) -> np.ndarray:
    """(captions, E), by number of the text in `examples.caption_texts`; kept beside the examples.

    `ValueError` where the table has others than the captions of the examples.
    """
    ids = examples.image_ids
    starts = range(0, len(ids), _IDS_AT_ONCE)
    index = RowIndex(np.asarray(ids.take(range(s, min(s + _IDS_AT_ONCE, len(ids)))), object) for s in starts)
    path = examples.caption_texts.directory.parent / "caption_embeddings.npy"
    embedding_CE = load_embeddings(path, table, index, text_encoder)
    if len(embedding_CE) != len(examples.caption_texts):
        raise ValueError(
            f"{table.path} has {len(embedding_CE)} captions of the images to train on, and pairs has "
            f"{len(examples.caption_texts)}; run embed_captions again"
        )
    return embedding_CE
