from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tars import write_tar

from ram.datasets.staging import CAPTION_REASONS, SpoolWriter
from ram.io import tables as storage
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.stages import run_stage

LIMITS = {"min_side": 16, "max_pixels": 1_000_000, "max_aspect": 4.0}


def image(seed: int, kind: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    """A smooth random image: its hash is far from those of others."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(stream, kind, quality=92)
    return stream.getvalue()


def write_shard(path: Path, samples: dict[str, tuple[bytes, Any]]) -> None:
    members = {}
    for key, (image, captions) in samples.items():
        members |= {f"{key}.jpg": image, f"{key}.json": json.dumps({"captions": captions}).encode()}
    write_tar(path, members)


def ingest(workspace: Path, sources: list[dict[str, Any]], **parameters: Any) -> None:
    workspace.mkdir(parents=True, exist_ok=True)
    sections = {
        "engine": {"num_workers": 1},
        "list_sources": {"sources": sources, "whole_hash_mib": 256},
        "ingest_pairs": {"limits": LIMITS, "max_hash_distance": 4, "images_per_shard": 4} | parameters,
    }
    storage.write_json(sections, workspace / "params.yaml")  # JSON is YAML
    run_stage("list_sources", workspace / "params.yaml", workspace)
    run_stage("ingest_pairs", workspace / "params.yaml", workspace)


def rows(workspace: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_artifact(artifact(name), workspace).to_pandas().to_dict("records")
    return found


@pytest.fixture
def sources(tmp_path: Path) -> list[dict[str, Any]]:
    folder = tmp_path / "raw"
    folder.mkdir()
    smaller = Image.open(io.BytesIO(image(1))).resize((44, 37), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    smaller.save(stream, "JPEG", quality=95)
    write_shard(
        folder / "train-0.tar",
        {
            "good": (image(1), ["a dog", " a  dog", "", "two dogs"]),
            "leaked": (image(2), ["an image of the test split"]),
            "again": (image(1), ["the same bytes"]),
            "smaller": (stream.getvalue(), ["nearly the same"]),
            "silent": (image(3), []),
            "blank": (image(4), [" ", "?"]),
            "cut": (image(5)[:600], ["a cut image"]),
            "tiny": (image(6, size=(8, 8)), ["a tiny image"]),
        },
    )
    write_shard(
        folder / "train-1.tar",
        {f"n{i}": (image(10 + i), [f"number {i}"]) for i in range(5)} | {"good": (image(20), ["a key twice"])},
    )
    write_shard(folder / "test-0.tar", {"t": (image(2), ["the test image"]), "u": (image(30), [])})
    return [
        {"name": "web", "kind": "webdataset", "path": str(folder / "train-*.tar")},
        {"name": "held", "kind": "webdataset", "path": str(folder / "test-*.tar"), "split": "test"},
        {"name": "world", "kind": "sample_world", "num_train": 3, "num_finetune": 2, "num_dev": 2, "num_test": 2},
    ]


def test_every_key_is_accepted_or_in_quarantine_with_its_reason(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    ingest(tmp_path / "ws", sources)
    accepted = {row["image_id"] for row in rows(tmp_path / "ws", "images")}
    refused = [(f"{row['source']}/{row['key']}", row["reason"]) for row in rows(tmp_path / "ws", "quarantine")]
    assert sorted(refused) == [
        ("web/again", "exact_duplicate"),
        ("web/blank", "no_caption"),
        ("web/cut", "truncated"),
        ("web/good", "duplicate_key"),
        ("web/good", "empty_caption"),
        ("web/good", "repeated_caption"),
        ("web/leaked", "exact_duplicate"),
        ("web/silent", "no_caption"),
        ("web/smaller", "near_duplicate"),
        ("web/tiny", "too_small"),
    ]
    assert accepted == {
        "web/good", *(f"web/n{i}" for i in range(5)), "held/t", "held/u", *(f"world/{i:06d}" for i in range(9))
    }  # fmt: skip
    of_images = [row for row in refused if row[1] not in CAPTION_REASONS]
    assert len(accepted) + len(of_images) == 14 + 2 + 9, "accepted + quarantined = read"
    details = {row["key"]: row["detail"] for row in rows(tmp_path / "ws", "quarantine")}
    assert details["leaked"] == "held/t stays"


def test_offsets_lead_to_bytes_that_have_the_hash_in_the_table(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    ingest(tmp_path / "ws", sources)
    shards = tmp_path / "ws/data/image_shards"
    images = rows(tmp_path / "ws", "images")
    for row in images:
        with (shards / row["shard"]).open("rb") as stream:
            stream.seek(row["offset"])
            content = stream.read(row["num_bytes"])
        with tarfile.open(shards / row["shard"]) as tar:
            member = tar.extractfile(row["member"])
            assert member is not None
            assert member.read() == content
        assert Image.open(io.BytesIO(content)).size == (row["width"], row["height"])
    for shard in {row["shard"] for row in images}:
        inside = [row for row in images if row["shard"] == shard]
        assert len({row["split"] for row in inside}) == 1
        assert len(inside) <= 4


def test_pairs_labels_and_benchmarks_belong_to_the_accepted_images(
    tmp_path: Path, sources: list[dict[str, Any]]
) -> None:
    ingest(tmp_path / "ws", sources)
    split_of = {row["image_id"]: row["split"] for row in rows(tmp_path / "ws", "images")}
    pairs = rows(tmp_path / "ws", "pairs")
    assert [(p["caption_index"], p["caption"]) for p in pairs if p["image_id"] == "web/good"] == [
        (0, "a dog"),
        (1, "two dogs"),
    ]
    assert all(split_of[pair["image_id"]] == pair["split"] for pair in pairs)
    benchmarks = storage.read_json(tmp_path / "ws/data/benchmarks.json")
    assert list(benchmarks) == ["world"]
    labels = rows(tmp_path / "ws", "labels")
    assert {label["image_id"] for label in labels} == {f"world/{i:06d}" for i in range(9)}
    assert {label["name"] for label in labels} <= set(benchmarks["world"]["names"])
    assert {label["benchmark"] for label in labels} == {"world"}


class BackwardsEngine:
    """Works like a pool: on pickled copies, and not in the order of the items."""

    def map(self, function: Any, items: Sequence[Any]) -> Iterator[Any]:
        results = {
            i: pickle.loads(pickle.dumps(function))(pickle.loads(pickle.dumps(items[i])))
            for i in range(len(items))[::-1]
        }
        yield from (results[i] for i in range(len(items)))


def test_the_output_is_the_same_bytes_whoever_does_the_work(
    tmp_path: Path, sources: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("images", "pairs", "labels", "quarantine", "image_shards")
    hashes = []
    for folder in ("one", "two"):
        ingest(tmp_path / folder, sources)
        hashes.append([storage.content_hash(tmp_path / folder / artifact(name).path) for name in names])
        monkeypatch.setattr("ram.pipeline.runner.make_engine", lambda params: BackwardsEngine())
    assert hashes[0] == hashes[1]


def test_a_killed_run_goes_on_with_the_chunks_it_has(
    tmp_path: Path, sources: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = SpoolWriter.__call__

    def until_the_third(self: SpoolWriter, item: Any) -> int:
        if item.number == 2 and len(read) == 2:
            raise KeyboardInterrupt
        read.append(item.number)
        return original(self, item)

    monkeypatch.setattr(SpoolWriter, "__call__", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        ingest(tmp_path / "ws", sources)
    assert not (tmp_path / "ws/data/images").exists()
    read.append(-1)
    run_stage("ingest_pairs", tmp_path / "ws/params.yaml", tmp_path / "ws")
    assert read == [0, 1, -1, 2, 3, 4, 5, 6]
    ingest(tmp_path / "whole", sources)
    shards = Path("data/image_shards")
    assert storage.content_hash(tmp_path / "ws" / shards) == storage.content_hash(tmp_path / "whole" / shards)


def test_a_file_that_changed_since_it_was_listed_stops_the_stage(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    ingest(tmp_path / "ws", sources)
    write_shard(tmp_path / "raw/train-0.tar", {})
    with pytest.raises(ValueError, match=r"train-0\.tar is not the file that was listed"):
        run_stage("ingest_pairs", tmp_path / "ws/params.yaml", tmp_path / "ws")


def test_sources_without_one_good_image_are_an_error_with_the_reasons(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", {"a": (b"nothing", ["a"]), "b": (image(0), [])})
    source = {"name": "web", "kind": "webdataset", "path": str(tmp_path / "x.tar")}
    with pytest.raises(ValueError, match=r"no image could be accepted.*1 wrong_type"):
        ingest(tmp_path / "ws", [source])


def test_two_sources_of_a_benchmark_must_be_labeled_for_the_same_names(tmp_path: Path) -> None:
    entries = []
    for name, category in (("one", "dog"), ("two", "cat")):
        write_shard(tmp_path / f"{name}.tar", {"a": (image(0), [])})
        document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": category}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
        paths = {"path": str(tmp_path / f"{name}.tar"), "annotations": [str(tmp_path / f"{name}.json")]}
        entries.append({"name": name, "kind": "coco", "benchmark_name": "pets"} | paths)
    with pytest.raises(ValueError, match="sources one, two of benchmark pets differ"):
        ingest(tmp_path / "ws", entries)
