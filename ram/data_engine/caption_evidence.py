"""The evidence on captions, brought to the tags that they name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ram.io.arrays import Ragged, RowIndex
from ram.io.tables import Table

# P images, R rows (one (image, tag) each)


def gather_by_image(generated: Table, parsed: Table, evidence: Table, scratch: Path) -> Ragged:
    """For every image of `generated`, in its order: tag_id and the evidence of the likeliest caption that names it.

    Tags that no caption names, and captions without evidence, are left out.
    """
    index = RowIndex(image_ids for _, image_ids in _images(generated))

    def of_captions() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for batch in evidence.batches():
            row = index.find(batch["image_id"].to_numpy(zero_copy_only=False))
            columns = {name: batch[name].to_numpy()[row >= 0] for name in ("caption_index", "evidence")}
            yield row[row >= 0], columns

    dtypes = {"caption_index": np.int16, "evidence": np.float32}
    captions = Ragged.write(scratch / "evidence_of_captions", len(index), of_captions, dtypes)

    def of_tags() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for batch in parsed.batches(["image_id", "tag_id", "caption_indices"]):
            row = index.find(batch["image_id"].to_numpy(zero_copy_only=False))
            best = _best(captions, row, batch["caption_indices"])
            known = ~np.isnan(best)
            yield row[known], {"tag_id": batch["tag_id"].to_numpy()[known], "evidence": best[known]}

    return Ragged.write(scratch / "evidence_of_tags", len(index), of_tags, {"tag_id": np.int32, "evidence": np.float32})


def first_images(generated: Table) -> list[int]:
    """For every part of `generated`, how many images came before it."""
    counts = [0] * len(generated.part_paths)
    for part, image_ids in _images(generated):
        counts[part] += len(image_ids)
    return [0, *np.cumsum(counts).tolist()][:-1]


def evidence_of_rows(gathered: Ragged, first_image: int, image_ids: np.ndarray, tag_R: np.ndarray) -> np.ndarray:
    """evidence_R of the rows of one part of `generated`, NaN where no caption speaks; `image_ids` of the rows."""
    if not len(tag_R):
        return np.empty(0, dtype=np.float32)
    change_R = np.concatenate([[False], image_ids[1:] != image_ids[:-1]])
    image_R = np.cumsum(change_R)
    place, columns = gathered.gather(first_image + np.arange(image_R[-1] + 1))
    width = max(int(tag_R.max(initial=0)), int(columns["tag_id"].max(initial=0))) + 1
    return _look_up(place * width + columns["tag_id"], columns["evidence"], image_R * width + tag_R)


def _images(generated: Table) -> Iterator[tuple[int, np.ndarray]]:
    """(part, its images in order): the rows of an image stand together."""
    for part, path in enumerate(generated.part_paths):
        ids = pq.read_table(path, columns=["image_id"])["image_id"].to_numpy()
        if len(ids):
            yield part, ids[np.concatenate([[True], ids[1:] != ids[:-1]])]


def _best(captions: Ragged, row_R: np.ndarray, indices_R: pa.ListArray) -> np.ndarray:
    """best_R: the highest evidence among the captions of these indices; NaN where there is none."""
    best_R = np.full(len(row_R), np.nan, dtype=np.float32)
    known = np.flatnonzero(row_R >= 0)
    image, of_image = np.unique(row_R[known], return_inverse=True)
    place, columns = captions.gather(image)
    named = indices_R.take(pa.array(known))
    length = named.value_lengths().to_numpy()
    index = named.flatten().to_numpy().astype(np.int64)
    width = max(int(index.max(initial=0)), int(columns["caption_index"].max(initial=0))) + 1
    wanted = np.repeat(of_image, length) * width + index
    evidence = _look_up(place * width + columns["caption_index"], columns["evidence"], wanted)
    np.fmax.at(best_R, np.repeat(known, length), evidence)  # fmax: what is not known does not count
    return best_R


def _look_up(key: np.ndarray, value: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The values of the wanted keys, each of which `key` has once; NaN of those that it lacks."""
    found = np.full(len(wanted), np.nan, dtype=np.float32)
    if len(key):
        order = np.argsort(key, kind="stable")
        at = np.searchsorted(key[order], wanted).clip(max=len(key) - 1)
        same = key[order][at] == wanted
        found[same] = value[order][at[same]]
    return found
