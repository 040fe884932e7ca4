"""What generation and cleaning do to the balance of the tags: how often each is, and which come together.

A data engine that adds what its model likes to say makes frequent tags more frequent and pairs closer than the captions have
them; the retrained model then learns that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ram.io.tables import Table
from ram.labels import LabelSystem

# K tags, T of them whose pairs are counted

STEPS = ("parsed", "generated", "cleaned")
_ADDED = ("generated_caption", "predicted")
_CHANGES = {"generation": ("parsed", "generated"), "cleaning": ("generated", "cleaned"), "both": ("parsed", "cleaned")}

Keys = Mapping[str, np.ndarray]  # step -> image * K + tag of every row, of one part


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceParams:
    max_inflation: float  # tags that generation multiplies by more are named
    num_paired_tags: int  # the most frequent ones, whose pairs are counted: memory grows with the square
    min_pair_images: int  # pairs on fewer images, before and after, are no evidence
    num_shown: int  # tags and pairs that are named, of each sort

    def __post_init__(self) -> None:
        if self.max_inflation <= 1:
            raise ValueError(f"max_inflation must be above 1, got {self.max_inflation}")
        for parameter in ("num_paired_tags", "min_pair_images", "num_shown"):
            if getattr(self, parameter) < 1:
                raise ValueError(f"{parameter} must be at least 1, got {getattr(self, parameter)}")


def balance(
    generated: Table, cleaned: Table, num_images: int, label_system: LabelSystem, params: BalanceParams
) -> dict[str, Any]:
    """The report: counts of every tag by step, images changed, tags inflated, pairs that moved. Train images alone.

    `num_images` are the train images. Two passes over the parts; memory is one part and `num_paired_tags` squared.
    """
    num_tags = len(label_system)
    counts = {step: np.zeros(num_tags, np.int64) for step in STEPS}
    changed = dict.fromkeys(_CHANGES, 0)
    for keys in _parts(generated, cleaned, num_tags):
        for step in STEPS:
            counts[step] += np.bincount(keys[step] % num_tags, minlength=num_tags)
        for name, (before, after) in _CHANGES.items():
            changed[name] += len(np.unique(np.setxor1d(keys[before], keys[after], assume_unique=True) // num_tags))
    names = label_system.names
    return {
        "num_images": num_images,
        "steps": {step: _spread(counts[step]) for step in STEPS},
        "changed_images": {n: {"num": num, "share": num / num_images if num_images else None} for n, num in changed.items()},
        "tags": {name: {step: int(counts[step][k]) for step in STEPS} for k, name in enumerate(names)},
        **_inflated(counts, names, params),
        "pairs": _moved_pairs(generated, cleaned, counts, num_images, names, params),
    }  # fmt: skip


def _parts(generated: Table, cleaned: Table, num_tags: int) -> Iterator[Keys]:
    """The rows of each part by step; an image's rows are in one part of both tables."""
    if len(generated.part_paths) != len(cleaned.part_paths):
        raise ValueError("cleaned_tags is not of these generated_tags; run clean_tags again")
    for before, after in zip(generated.part_paths, cleaned.part_paths, strict=True):
        found = pq.read_table(before, columns=["image_id", "tag_id", "origin"]).to_pandas()
        left = pq.read_table(after, columns=["image_id", "tag_id"], filters=[("kept", "=", True)]).to_pandas()
        image, _ = pd.factorize(pd.concat([found["image_id"], left["image_id"]]))
        key = image.astype(np.int64) * num_tags + np.concatenate([found["tag_id"], left["tag_id"]])
        all_found = key[: len(found)]
        said = ~found["origin"].isin(_ADDED).to_numpy()
        yield {"parsed": all_found[said], "generated": all_found, "cleaned": key[len(found) :]}


def _spread(count_K: np.ndarray) -> dict[str, Any]:
    """Rows, tags with any, and how many equally frequent tags would be as mixed: the exponential of the entropy."""
    share = count_K[count_K > 0] / max(count_K.sum(), 1)
    return {
        "num_rows": int(count_K.sum()),
        "num_tags": int((count_K > 0).sum()),
        "effective_num_tags": float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0,
        "share_of_most_frequent_tenth": _share_of_top(count_K),
    }


def _share_of_top(count_K: np.ndarray) -> float | None:
    top = np.sort(count_K)[::-1][: max(len(count_K) // 10, 1)]
    return float(top.sum() / count_K.sum()) if count_K.sum() else None


def _inflated(counts: Keys, names: Sequence[str], params: BalanceParams) -> dict[str, Any]:
    """Tags that generation multiplied by more than `max_inflation`; one that no caption named counts as named once."""
    ratio_K = counts["generated"] / np.maximum(counts["parsed"], 1)
    order = np.argsort(-ratio_K, kind="stable")
    inflated = [k for k in order.tolist() if ratio_K[k] > params.max_inflation]
    rows = [{"name": names[k], "ratio": float(ratio_K[k])} | {s: int(counts[s][k]) for s in STEPS} for k in inflated]
    return {"max_inflation": params.max_inflation, "num_inflated": len(rows), "inflated": rows[: params.num_shown]}


def _moved_pairs(
    generated: Table, cleaned: Table, counts: Keys, num_images: int, names: Sequence[str], params: BalanceParams
) -> dict[str, list[dict[str, Any]]]:
    """Pairs whose lift rose or fell the most from the captions to the cleaned tags.

    Lift: images with both over those to expect if the two were independent, one added to each, so that few say little.
    """
    top_T = np.sort(np.argsort(-counts["generated"], kind="stable")[: params.num_paired_tags])
    together = {step: np.zeros((len(top_T), len(top_T)), np.int64) for step in STEPS}
    for keys in _parts(generated, cleaned, len(names)):
        for step in STEPS:
            together[step] += _pair_counts(keys[step], top_T, len(names))
    lift = {}
    for step in STEPS:
        expected_TT = np.multiply.outer(counts[step][top_T], counts[step][top_T]) / max(num_images, 1)
        lift[step] = (together[step] + 1) / (expected_TT + 1)
    change_TT = np.log2(lift["cleaned"] / lift["parsed"])
    enough_TT = np.maximum(together["parsed"], together["cleaned"]) >= params.min_pair_images
    first, second = np.nonzero(np.triu(enough_TT, k=1))
    order = np.argsort(change_TT[first, second], kind="stable")
    moved = {"closer": order[::-1], "apart": order}
    signs = {"closer": 1, "apart": -1}
    return {
        direction: [
            {
                "tags": [names[top_T[a]], names[top_T[b]]],
                "log2_change": float(change_TT[a, b]),
                "lift": {step: float(lift[step][a, b]) for step in STEPS},
                "num_images": {step: int(together[step][a, b]) for step in STEPS},
            }
            for a, b in zip(first[ranked].tolist(), second[ranked].tolist(), strict=True)
            if signs[direction] * change_TT[a, b] > 0
        ][: params.num_shown]
        for direction, ranked in ((d, r[: params.num_shown]) for d, r in moved.items())
    }


def _pair_counts(key_R: np.ndarray, top_T: np.ndarray, num_tags: int) -> np.ndarray:
    """How many images have both tags, (T, T)."""
    from scipy.sparse import csr_matrix

    image_R, tag_R = key_R // num_tags, key_R % num_tags
    column_R = np.searchsorted(top_T, tag_R)
    found_R = top_T[np.minimum(column_R, len(top_T) - 1)] == tag_R
    image_R, column_R = image_R[found_R], column_R[found_R]
    shape = (int(image_R.max()) + 1 if len(image_R) else 1, len(top_T))
    has = csr_matrix((np.ones(len(image_R), np.int64), (image_R, column_R)), shape)
    return (has.T @ has).toarray()
