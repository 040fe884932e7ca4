"""Sources on S3: a server of this machine, real requests, no network."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from stores import BreakingLine, s3_server
from tars import write_tar

from ram.io import remote
from ram.io import tables as storage
from ram.io.remote import RemotePath
from ram.pipeline.catalog import artifact
from ram.stages import run_stage

pytest.importorskip("moto", reason="moto is not installed: an S3 of this machine")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'ram-tagger[s3]'")

MADE = ("images", "pairs", "labels", "benchmarks", "image_shards", "quarantine")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(autouse=True)
def _environment(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import s3fs

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.01)
    s3fs.S3FileSystem.clear_instance_cache()  # its connection is to the address of before
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def image(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    return stream.getvalue()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with every kind of source: shards, COCO in a tar and in a folder, tables."""
    root = tmp_path / "raw"
    (root / "loose" / "deep").mkdir(parents=True)
    for shard in range(2):
        members = {}
        for n in range(6):
            members[f"{n + 10 * shard:03}.jpg"] = image(n + 10 * shard)
            members[f"{n + 10 * shard:03}.json"] = json.dumps({"captions": [f"image {n}", "a dog"]}).encode()
        write_tar(root / f"web-{shard}.tar", members)
    names = [f"{n}.jpg" for n in range(3)]
    write_tar(root / "coco.tar", {name: image(40 + n) for n, name in enumerate(names)})
    for n, name in enumerate(names):
        (root / "loose" / ("deep" if n else ".") / name).write_bytes(image(50 + n))
    for kind, folder in (("tar", ""), ("loose", "deep/")):
        files = [name if kind == "tar" or not n else f"{folder}{name}" for n, name in enumerate([*names, "lost.jpg"])]
        document = {
            "images": [{"id": n, "file_name": f, "width": 96, "height": 80} for n, f in enumerate(files)],
            "categories": [{"id": 1, "name": "dog"}],
            "annotations": [{"image_id": n, "category_id": 1, "bbox": [1, 2, 30, 40]} for n in range(3)],
        }
        (root / f"{kind}.json").write_text(json.dumps(document))
    with (root / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["path", "caption"], ["tables/0.jpg", "ä table, with words"], ["tables/none.jpg", "x"]])
    (root / "tables").mkdir()
    for n in range(2):
        (root / "tables" / f"{n}.jpg").write_bytes(image(60 + n))
    pd.DataFrame({"path": ["tables/1.jpg"], "caption": ["a cat"]}).to_parquet(root / "tables" / "t.parquet")
    return root


def ingest(workspace: Path) -> dict[str, str]:
    """Ingest the sources under $RAW; the hash of everything that is made."""
    coco = {"kind": "coco", "split": "test", "benchmark_name": "pets"}
    sources: list[dict[str, Any]] = [
        {"name": "web", "kind": "webdataset", "path": "$RAW/web-*.tar"},
        {"name": "packed", "path": "$RAW/coco.tar", "annotations": ["$RAW/tar.json"]} | coco,
        {"name": "loose", "path": "$RAW/loose", "annotations": ["$RAW/loose.json"]} | coco,
        {"name": "csv", "kind": "table", "path": "$RAW/table.csv"},
        {"name": "parquet", "kind": "table", "path": "$RAW/tables/*.parquet", "image_root": "$RAW"},
    ]
    limits = {"min_side": 16, "max_pixels": 1_000_000, "max_aspect": 4.0}
    workspace.mkdir(exist_ok=True)
    sections = {
        "engine": {"num_workers": 1},
        "list_sources": {"sources": sources, "whole_hash_mib": 256},
        "ingest_pairs": {"limits": limits, "max_hash_distance": 2, "images_per_shard": 4},
    }
    storage.write_json(sections, workspace / "params.yaml")
    run_stage("list_sources", workspace / "params.yaml", workspace)
    run_stage("ingest_pairs", workspace / "params.yaml", workspace)
    return {name: storage.content_hash(workspace / artifact(name).path) for name in MADE}


@pytest.fixture
def bucket(raw: Path, tmp_path: Path) -> str:
    """The same files on S3, in a bucket of the test's own."""
    import s3fs

    name = f"raw-{tmp_path.name.replace('_', '-').lower()}"
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir(name)
    for path in raw.rglob("*"):
        if path.is_file():
            filesystem.pipe_file(f"{name}/{path.relative_to(raw).as_posix()}", path.read_bytes())
    return name


def test_what_is_ingested_from_s3_equals_what_is_ingested_from_a_folder(
    raw: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAW", str(raw))
    here = ingest(tmp_path / "here")
    monkeypatch.setenv("RAW", f"s3://{bucket}")
    assert ingest(tmp_path / "there") == here
    schema = artifact("images").schema
    assert schema is not None
    accepted = storage.Table(tmp_path / "there/data/images", schema).read()["source"].to_pylist()
    assert Counter(accepted) == {"web": 12, "packed": 3, "loose": 3, "csv": 1, "parquet": 1}
    listed = storage.read_json(tmp_path / "there/data/sources.json")["sources"]
    assert all(file["path"].startswith("$RAW/") for source in listed for file in source["files"])


def test_reads_that_are_cut_off_are_made_again(
    raw: Path, bucket: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("RAW", str(raw))
    here = ingest(tmp_path / "here")
    line = BreakingLine(server, num_cuts=4, after_bytes=6000)
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.address)
        s3fs.S3FileSystem.clear_instance_cache()
        monkeypatch.setenv("RAW", f"s3://{bucket}")
        assert ingest(tmp_path / "there") == here
        assert line.num_cut == 4
    finally:
        line.close()


def test_a_changed_file_changes_the_listing_and_stops_a_run_over_the_old_one(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("RAW", f"s3://{bucket}")
    ingest(tmp_path / "ws")
    path = RemotePath(f"s3://{bucket}/table.csv")
    before = path.version_hash()
    content = path.read_text().replace("words", "wordy").encode()
    s3fs.S3FileSystem().pipe_file(f"{bucket}/table.csv", content)
    assert path.version_hash() != before
    with pytest.raises(ValueError, match=r"table\.csv is not the file that was listed; run list_sources again"):
        run_stage("ingest_pairs", tmp_path / "ws/params.yaml", tmp_path / "ws")


def test_a_missing_bucket_and_missing_credentials_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("RAW", "s3://no-such-bucket")
    with pytest.raises(ValueError, match=r"s3://no-such-bucket.*bucket does not exist; mend the bucket's name"):
        ingest(tmp_path / "ws")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ValueError, match=r"no credentials to read s3://no-such-bucket.*AWS_ACCESS_KEY_ID"):
        ingest(tmp_path / "ws")
