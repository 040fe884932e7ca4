from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ram.io.tables import Table, write_table
from ram.pipeline.catalog import CATALOG
from ram.reports.data.leaks import image_leaks, read_hashes, tag_leaks, unseen_leaks
from ram.validation.frames import ImageIndex


def make_images(path: Path, rows: list[tuple[str, str, int]]) -> Table:
    """A table of images (split, sha256, perceptual hash)."""
    filler = {"source": "s", "shard": "a", "member": "m", "offset": 0, "num_bytes": 1, "width": 8, "height": 8}
    full = [
        {**filler, "image_id": f"s/{i}", "split": split, "sha256": content, "perceptual_hash": f"{look:016x}"}
        for i, (split, content, look) in enumerate(rows)
    ]
    write_table(full, path, CATALOG["images"].schema)
    return Table(path, CATALOG["images"].schema)


def test_the_same_bytes_and_nearly_the_same_image_are_told_apart(tmp_path: Path) -> None:
    far = 0xFFFF_0000_FFFF_0000
    rows = [
        ("train", "a", 0), ("finetune", "b", far), ("test", "a", 0), ("dev", "c", far ^ 0b111),
        ("test", "d", far ^ 0b111111), ("test", "e", 0x0F0F_0F0F_0F0F_0F0F), ("train", "f", 1 << 40),
    ]  # fmt: skip
    found = image_leaks(make_images(tmp_path / "images", rows), max_distance=4)
    assert (found["same_bytes"], found["near"]) == (1, 1)
    assert found["closest"] == [[2, 0, 0], [3, 1, 3], [4, 1, 6]]


@pytest.mark.parametrize("seed", range(4))
def test_near_images_are_those_of_comparing_all_with_all(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    looks = [int(generator.integers(0, 2**62)) for _ in range(12)]
    rows = []
    for i in range(60):
        flips = generator.choice(64, generator.integers(0, 8), replace=False)
        look = looks[generator.integers(12)] ^ sum(1 << int(bit) for bit in flips)
        rows.append((str(generator.choice(["train", "finetune", "dev", "test"])), f"{i}", look))
    found = image_leaks(make_images(tmp_path / "images", rows), max_distance=5)
    learned = [look for split, _, look in rows if split in ("train", "finetune")]
    judged = [look for split, _, look in rows if split in ("dev", "test")]
    expected = sum(min((look ^ other).bit_count() for other in learned) <= 5 for look in judged)
    assert found["near"] == expected
    assert found["same_bytes"] == 0


def test_hashes_are_read_as_the_numbers_they_are() -> None:
    numbers = [0, 1, 0xFFFFFFFFFFFFFFFF, 0x0123456789ABCDEF, 0xFEDCBA9876543210]
    assert read_hashes(pa.array([f"{number:016x}" for number in numbers])).tolist() == numbers
    assert len(read_hashes(pa.array([], pa.string()))) == 0


def test_a_split_may_be_empty(tmp_path: Path) -> None:
    found = image_leaks(make_images(tmp_path / "images", [("train", "a", 5), ("train", "b", 5)]), None)
    assert found == {"same_bytes": 0, "near": 0, "max_distance": None, "closest": []}


def test_kept_tags_of_images_to_judge_by_are_counted(tmp_path: Path) -> None:
    images = ImageIndex(make_images(tmp_path / "images", [("train", "a", 1), ("test", "b", 2), ("dev", "c", 3)]))
    schema = CATALOG["cleaned_tags"].schema
    filler = {column.name: None if column.nullable else 0.5 for column in schema}
    rows = [("s/0", True), ("s/1", True), ("s/1", False), ("s/2", True), ("elsewhere", True)]
    full = [filler | {"image_id": i, "tag_id": n, "origin": "caption", "kept": k} for n, (i, k) in enumerate(rows)]
    write_table(full, tmp_path / "cleaned", schema)
    assert tag_leaks(images, Table(tmp_path / "cleaned", schema)) == 3


def test_unseen_names_are_gathered_over_the_models() -> None:
    own = {"names": ["pear", "violin"], "leaked_by_labels": [], "leaked_by_synonym": ["pear"], "in_train_captions": []}
    other = {**own, "leaked_by_labels": ["violin"], "leaked_by_synonym": []}
    without = {"unseen": {"names": [], "leaked_by_labels": []}}
    evaluation = {"one": {"b": {"unseen": own}, "c": without}, "two": {"b": {"unseen": other}}}
    assert unseen_leaks(evaluation) == {
        "b": {
            "names": ["pear", "violin"], "leaked_by_labels": ["violin"], "leaked_by_synonym": ["pear"],
            "in_train_captions": [],
        }
    }  # fmt: skip
