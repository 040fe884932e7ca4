"""Which rows of cleaned_tags are worth a person's time: the likeliest mistakes of each tag, and a fair sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ram.io.tables import Table

# K tags

_SIDE = ["tag_id", "kept"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryParams:
    num_tags: int  # those in which the most mistakes are to be expected
    rows_per_tag: int  # half of them kept, half removed
    sampled_share: float  # of these, drawn at random; the others are the likeliest mistakes
    num_looks: int  # groups of regions that look alike, a tag; 1: none, and no features are read
    context: float  # shown around a region, in shares of its sides
    thumbnail_size: int  # of a region: longer side, in pixels
    image_size: int  # of the whole image, shown beside the facts of a row; 0: the region alone

    def __post_init__(self) -> None:
        for parameter, least in (("num_tags", 1), ("rows_per_tag", 2), ("num_looks", 1), ("thumbnail_size", 16)):
            if getattr(self, parameter) < least:
                raise ValueError(f"{parameter} must be at least {least}, got {getattr(self, parameter)}")
        if not 0 <= self.sampled_share <= 1:
            raise ValueError(f"sampled_share must be in [0, 1], got {self.sampled_share}")
        if min(self.context, self.image_size) < 0:
            raise ValueError(f"context and image_size must be 0 or more, got {self.context}, {self.image_size}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """`rows` of cleaned_tags with the columns mistake (the probability that the cleaning erred) and sampled (drawn at
    random); `tags` by tag id, the most expected mistakes first: num_kept, num_removed, mistakes."""

    rows: pd.DataFrame
    tags: pd.DataFrame


def choose(cleaned: Table, num_tags: int, params: GalleryParams) -> Chosen:
    """One pass over the table; memory is `rows_per_tag` rows of each tag."""
    num_side = params.rows_per_tag // 2
    num_sampled = round(num_side * params.sampled_share)
    kept_K, removed_K, mistakes_K = np.zeros(num_tags, np.int64), np.zeros(num_tags, np.int64), np.zeros(num_tags)
    doubtful, sampled = pd.DataFrame(), pd.DataFrame()
    for rows in _batches(cleaned):
        tag, kept = rows["tag_id"].to_numpy(), rows["kept"].to_numpy()
        kept_K += np.bincount(tag[kept], minlength=num_tags)
        removed_K += np.bincount(tag[~kept], minlength=num_tags)
        mistakes_K += np.bincount(tag, weights=rows["mistake"], minlength=num_tags)
        # Ties are broken by the draw, so that the choice does not depend on how the table is cut into batches.
        doubtful = _first(doubtful, rows, ["mistake", "draw"], [False, True], num_side - num_sampled)
        sampled = _first(sampled, rows, ["draw"], [True], num_sampled)
    tags = pd.DataFrame({"num_kept": kept_K, "num_removed": removed_K, "mistakes": mistakes_K})
    tags = tags[tags["num_kept"] + tags["num_removed"] > 0]
    tags = tags.sort_values("mistakes", ascending=False, kind="stable").head(params.num_tags)
    drawn = sampled.assign(sampled=True)
    rows = pd.concat([drawn, doubtful.assign(sampled=False)]).drop_duplicates(["image_id", "tag_id"])
    rows = rows[rows["tag_id"].isin(tags.index)] if len(rows) else rows
    return Chosen(rows.reset_index(drop=True), tags)


def _batches(cleaned: Table) -> Iterator[pd.DataFrame]:
    for batch in cleaned.batches():
        rows = batch.to_pandas()
        rows["origin"] = rows["origin"].astype(str)
        wrong = rows["wrong_probability"].to_numpy(np.float64)
        judged = (rows["origin"] == "human") | (rows["reason"] == "human_verdict")
        rows["mistake"] = np.where(judged, 0.0, np.where(rows["kept"], wrong, 1 - wrong))
        rows["draw"] = pd.util.hash_pandas_object(rows[["image_id", "tag_id"]], index=False)
        yield rows


def _first(best: pd.DataFrame, rows: pd.DataFrame, by: list[str], ascending: list[bool], num: int) -> pd.DataFrame:
    """The first `num` rows of every tag and side, of the best so far and new ones."""
    every = pd.concat([best, rows], ignore_index=True) if len(best) else rows
    return every.sort_values(by, ascending=ascending, kind="stable").groupby(_SIDE, sort=False).head(num)
