"""A person's verdicts overrule the cleaning: where each belongs, and what it makes of a row.

They enter here, in the last step before training on, so that a verdict costs no model's time: nothing before the cleaning
runs again, the row stays in the table, and without the verdict it is what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.labels.human_labels import ImageTag, Verdict, read_verdicts, resolve

REASON = "human_verdict"
_NUM_SHOWN = 50  # verdicts without effect that the report names

Judged = dict[ImageTag, bool]  # whether the tag is in the image


@dataclass(frozen=True)
class Verdicts:
    """The verdicts by the part of generated_tags that has their image, and those without effect, with the cause."""

    by_part: dict[int, Judged] = field(default_factory=dict)
    without_effect: list[str] = field(default_factory=list)

    def report(self, num_removed: int) -> dict[str, Any]:
        """Counts for the cleaning's report; `num_removed` rows were removed for a verdict."""
        judged = [keep for own in self.by_part.values() for keep in own.values()]
        return {
            "num_keep": sum(judged),
            "num_wrong": len(judged) - sum(judged),
            "num_wrong_without_row": len(judged) - sum(judged) - num_removed,
            "num_without_effect": len(self.without_effect),
            "without_effect": self.without_effect[:_NUM_SHOWN],
        }


def find_verdicts(path: Path, images: Table, label_system: LabelSystem, part_paths: Sequence[Path]) -> Verdicts:
    """The verdicts of a file, placed. A train image without any row belongs to the last part."""
    verdicts = read_verdicts(path)
    if not verdicts:
        return Verdicts()
    found, unknown = resolve(verdicts, label_system)
    split_of = _splits(images, {image_id for image_id, _ in found})
    without_effect = [f"{verdict}: the label system has no such tag" for verdict in unknown]
    placed: dict[ImageTag, Verdict] = {}
    for (image_id, tag_id), verdict in found.items():
        split = split_of.get(image_id)
        if split == "train":
            placed[image_id, tag_id] = verdict
        elif split is None:
            without_effect.append(f"{verdict}: there is no such image")
        else:
            without_effect.append(f"{verdict}: an image of split {split}, and only those of train have rows")
    part_of = _parts({image_id for image_id, _ in placed}, part_paths)
    by_part: dict[int, Judged] = {}
    for (image_id, tag_id), verdict in placed.items():
        part = part_of.get(image_id, len(part_paths) - 1)
        by_part.setdefault(part, {})[image_id, tag_id] = verdict.verdict == "keep"
    return Verdicts(by_part, without_effect)


def _splits(images: Table, image_ids: set[str]) -> dict[str, str]:
    wanted = pa.array(sorted(image_ids), pa.string())
    found: dict[str, str] = {}
    for batch in images.batches(["image_id", "split"]):
        own = batch.filter(pc.is_in(batch["image_id"], wanted))
        found |= dict(zip(own["image_id"].to_pylist(), own["split"].to_pylist(), strict=True))
    return found


def _parts(image_ids: set[str], part_paths: Sequence[Path]) -> dict[str, int]:
    wanted = pa.array(sorted(image_ids), pa.string())
    found: dict[str, int] = {}
    for part, path in enumerate(part_paths):
        for batch in pq.ParquetFile(path).iter_batches(columns=["image_id"]):
            own = batch["image_id"].filter(pc.is_in(batch["image_id"], wanted))
            found |= dict.fromkeys(own.unique().to_pylist(), part)
    return found


def apply_verdicts(rows: pd.DataFrame, judged: Mapping[ImageTag, bool]) -> pd.DataFrame:
    """`rows` of cleaned_tags as a person wants them; a kept tag without a row gets one behind its image's others.

    What a person keeps has origin `human`, score 1 and wrong_probability 0; what is wrong is removed, wrong_probability 1.
    """
    if not judged:
        return rows
    keys = pd.MultiIndex.from_frame(rows[["image_id", "tag_id"]])
    given = pd.Series(judged, dtype=object)
    given.index = pd.MultiIndex.from_tuples(list(judged), names=keys.names)
    position = given.index.get_indexer(keys)
    keep = (position >= 0) & given.to_numpy().astype(bool)[position]
    wrong = (position >= 0) & ~keep
    judged_rows = {
        "origin": rows["origin"].mask(keep, "human"),
        "score": rows["score"].mask(keep, 1.0),
        "kept": rows["kept"].to_numpy() & ~wrong | keep,
        "reason": rows["reason"].mask(keep, None).mask(wrong, REASON),
        "wrong_probability": rows["wrong_probability"].mask(keep, 0.0).mask(wrong, 1.0),
    }
    rows = rows.assign(**judged_rows)
    missing = given[given.astype(bool) & ~np.isin(np.arange(len(given)), position)].index
    if not len(missing):
        return rows
    added = missing.to_frame(index=False).assign(
        origin="human", score=1.0, kept=True, reason=None, wrong_probability=0.0
    )
    joined = pd.concat([rows, added.reindex(columns=rows.columns).astype(rows.dtypes.to_dict())], ignore_index=True)
    # An image's rows stand together; factorize numbers the images in the order in which they first appear.
    return joined.iloc[np.argsort(pd.factorize(joined["image_id"])[0], kind="stable")].reset_index(drop=True)
