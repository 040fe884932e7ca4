"""Is anything that models are judged by among what they learn from? Looked up anew, whatever the stages promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ram.datasets.duplicates import MAX_DISTANCE, near_pairs
from ram.io.tables import Table
from ram.validation.frames import ImageIndex, hash_strings

LEARNING = ("train", "finetune")
JUDGING = ("dev", "test")
_NUM_SHOWN = 6  # pairs of images to look at


def image_leaks(images: Table, max_distance: int | None) -> dict[str, Any]:
    """{"same_bytes", "near", "max_distance", "closest"}: how many images of dev or test an image of train or finetune
    has the bytes of, or, of the others, is within `max_distance` bits of by its perceptual hash; and the closest pairs of
    all as [judged, learned, bits], by rows of images.
    """
    columns: dict[str, list[np.ndarray]] = {"judged": [], "learned": [], "content": [], "looks": []}
    for batch in images.batches(["split", "sha256", "perceptual_hash"]):
        split = batch.column("split")
        columns["judged"].append(pc.is_in(split, pa.array(JUDGING)).to_numpy(zero_copy_only=False))
        columns["learned"].append(pc.is_in(split, pa.array(LEARNING)).to_numpy(zero_copy_only=False))
        columns["content"].append(hash_strings(batch.column("sha256")))
        columns["looks"].append(read_hashes(batch.column("perceptual_hash")))
    judged, learned, content, looks = (np.concatenate(parts) for parts in columns.values())
    same = judged & np.isin(content, content[learned])
    # A little farther than images are refused for: what remains there is for people to look at.
    reach = min((max_distance or 0) + 2, MAX_DISTANCE)
    pairs = _close_pairs(looks, judged, learned, reach)
    alike = {row for row, _, distance in pairs if max_distance is not None and distance <= max_distance}
    near = alike - set(np.flatnonzero(same).tolist())
    return {
        "same_bytes": int(same.sum()),
        "near": len(near),
        "max_distance": max_distance,
        "closest": [list(pair) for pair in pairs[:_NUM_SHOWN]],
    }


def read_hashes(digits: pa.Array) -> np.ndarray:
    """Perceptual hashes, 16 hex digits each, as uint64."""
    codes = np.frombuffer("".join(digits.to_pylist()).encode("ascii"), np.uint8).reshape(-1, 16)
    values = np.where(codes >= ord("a"), codes - (ord("a") - 10), codes - ord("0")).astype(np.uint64)
    return (values << np.arange(60, -1, -4, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)


def _close_pairs(looks: np.ndarray, judged: np.ndarray, learned: np.ndarray, reach: int) -> list[tuple[int, int, int]]:
    """(row of a judged image, row of a learned one, bits they differ in), the closest first; one a judged image."""
    hashes, inverse = np.unique(looks, return_inverse=True)
    first_learned = np.full(len(hashes), -1)
    rows = np.flatnonzero(learned)[::-1]
    first_learned[inverse[rows]] = rows
    one, two = near_pairs(hashes, reach)
    keys = np.arange(len(hashes))
    sides = np.concatenate([np.stack([keys, keys]), np.stack([one, two]), np.stack([two, one])], axis=1)
    distances = np.bitwise_count(hashes[sides[0]] ^ hashes[sides[1]])
    best: dict[int, tuple[int, int]] = {}
    for here, there, distance in zip(*sides.tolist(), distances.tolist(), strict=True):
        if first_learned[there] >= 0 and (here not in best or distance < best[here][0]):
            best[here] = (distance, int(first_learned[there]))
    found = [
        (int(row), best[key][1], best[key][0])
        for row, key in zip(np.flatnonzero(judged).tolist(), inverse[judged].tolist(), strict=True)
        if key in best
    ]
    return sorted(found, key=lambda pair: (pair[2], pair[0]))


def tag_leaks(images: ImageIndex, cleaned_tags: Table) -> int:
    """Kept rows of tags on images that are no images of train: retraining would learn from them."""
    num = 0
    for batch in cleaned_tags.batches(["image_id", "kept"]):
        positions = images.positions(batch.column("image_id"))
        outside = (positions < 0) | ~images.is_train[positions]
        num += int((outside & batch.column("kept").to_numpy(zero_copy_only=False)).sum())
    return num


def unseen_leaks(evaluation: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """{benchmark: {"names", "leaked_by_labels", "leaked_by_synonym", "in_train_captions"}} over all models.

    The last is no leak in itself: what a benchmark calls unseen is left out of every loss.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for benchmarks in evaluation.values():
        for benchmark, facts in benchmarks.items():
            for kind, names in facts.get("unseen", {}).items():
                found.setdefault(benchmark, {}).setdefault(kind, set()).update(names)
    return {
        benchmark: {kind: sorted(names) for kind, names in kinds.items()}
        for benchmark, kinds in found.items()
        if kinds.get("names")
    }
