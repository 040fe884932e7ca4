"""Fixtures that several test modules share."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import types
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import settings
from PIL import Image
from tars import write_tar

from ram.io.tables import Table, write_json, write_table
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact

TagScore = namedtuple("TagScore", "tag_id name score threshold kind")
BENCHMARK = "drawn"

settings.register_profile("ram", deadline=None)  # a busy machine is no failure
settings.load_profile("ram")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test first, so that with several processes the last to end is none of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def no_text_cache() -> Iterator[None]:
    """Nothing is kept in the home folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAM_TEXT_CACHE", "off")
        yield


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[[], tuple[Table, Path]]:
    """Writes 7 images in 2 shards, every third of split test."""

    def write() -> tuple[Table, Path]:
        shards, rows = tmp_path / "image_shards", []
        shards.mkdir()
        generator = np.random.default_rng(0)
        for shard, keys in {"b.tar": range(4), "a.tar": range(4, 7)}.items():
            members = {}
            for key in keys:
                buffer = io.BytesIO()
                Image.fromarray(generator.integers(0, 256, (40 + key, 50, 3), dtype=np.uint8)).save(buffer, "JPEG")
                members[f"{key}.jpg"] = buffer.getvalue()
            write_tar(shards / shard, members)
            with tarfile.open(shards / shard) as tar:
                rows += [
                    {
                        "image_id": f"s/{m.name[:-4]}", "source": "s",
                        "split": "train" if int(m.name[:-4]) % 3 else "test",
                        "shard": shard, "member": m.name, "offset": m.offset_data, "num_bytes": m.size, "width": 50,
                        "height": 40, "sha256": "", "perceptual_hash": "",
                    }
                    for m in tar
                ]  # fmt: skip
        schema = artifact("images").schema
        write_table(rows, tmp_path / "images", schema)
        return Table(tmp_path / "images", schema), shards

    return write


@pytest.fixture
def force_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every device as supporting bf16: PyTorch computes it on all, slowly on those without instructions for it."""
    monkeypatch.setattr("ram.model.precision.has_bf16", lambda device: True)
    monkeypatch.setattr("ram.training.step.has_bf16", lambda device: True)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of two workers on this machine, for the whole session: starting one takes five seconds."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'ram-tagger[ray]'")
    from ram.pipeline.executors.ray import RayEngine

    assert "RAY_ADDRESS" not in os.environ, "tests start a cluster of their own; unset RAY_ADDRESS"
    with pytest.MonkeyPatch.context() as patch:
        # Workers take their path from the environment that the cluster was started in.
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")  # sums over several threads may differ in their last bit
        assert list(RayEngine(2).map(abs, [-1])) == [1]
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def empty_mlflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data base with MLflow's tables: making one takes ten seconds, a copy of it none."""
    from ram.tracking.server import import_mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    import_mlflow().MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def drawn_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small workspace in which the pipeline has run up to the models. Tests must not change it: they share it."""
    from drawn import draw_workspace

    root = tmp_path_factory.mktemp("drawn")
    draw_workspace(root)
    return root


@pytest.fixture
def finished_workspace(tmp_path: Path, empty_mlflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a workspace in which the pipeline has run: `make(mean_ap, weights)` may be called again to run it anew."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / ".state").mkdir()
    shutil.copyfile(empty_mlflow_db, tmp_path / ".state" / "mlflow.db")

    def make(mean_ap: float = 0.5, weights: bytes = b"weights", test_images: int = 3) -> Path:
        _write_model(tmp_path, weights)
        _write_truth(tmp_path, test_images)
        metrics = {"mAP": mean_ap, "F1": mean_ap / 2, "unlabeled": None, "num_tags": 4}
        write_json(
            {"preliminary": {BENCHMARK: {"mAP": 0.1}}, "finetuned": {BENCHMARK: metrics}},
            tmp_path / artifact("evaluation").path,
        )
        _write_rest(tmp_path, weights)
        return tmp_path

    return make


def _write_model(workspace: Path, weights: bytes) -> None:
    model = workspace / artifact("finetuned_model").path
    model.mkdir(parents=True, exist_ok=True)
    (model / "model.safetensors").write_bytes(weights)
    write_json({"width": 8}, model / "config.json")
    labels = LabelSystem([Tag(tag_id=0, name="cat"), Tag(tag_id=1, name="dog")]).to_json()
    write_json(labels, model / "label_system.json")
    write_json(labels, workspace / artifact("label_system").path)
    write_json({"default": 0.5, "tags": {"dog": 0.25}}, workspace / artifact("thresholds").path)


def _write_truth(workspace: Path, test_images: int) -> None:
    splits = ["train", "train", *["test"] * test_images]
    names = [f"drawn/{i}" for i in range(len(splits))]
    images = pd.DataFrame({"image_id": names, "source": "drawn", "split": splits, "shard": "0.tar"})
    images = images.assign(member=names, offset=0, num_bytes=1, width=8, height=8, perceptual_hash="0" * 16)
    images["sha256"] = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    labels = pd.DataFrame({"image_id": names, "benchmark": BENCHMARK, "name": "cat"})
    labels = labels.assign(x0=None, y0=None, x1=None, y1=None)
    for name, rows in (("images", images), ("labels", labels)):
        schema = artifact(name).schema
        assert schema is not None
        write_table(rows, workspace / artifact(name).path, schema)
    benchmark = {"sources": ["drawn"], "names": ["cat", "dog"], "unseen": [], "description": "drawings"}
    write_json({BENCHMARK: benchmark}, workspace / artifact("benchmarks").path)
    scores = [
        {"benchmark": BENCHMARK, "image_id": name, "scores": [0.9, 0.1], "positive": [True, False]}
        for name, split in zip(names, splits, strict=True)
        if split == "test"
    ]
    schema = artifact("test_scores").schema
    assert schema is not None
    shutil.rmtree(workspace / artifact("test_scores").path, ignore_errors=True)
    write_table(scores, workspace / artifact("test_scores").path, schema)


def _write_rest(workspace: Path, weights: bytes) -> None:
    curve = [(step, step // 10, "train", "loss", 1.0 / (step + 1)) for step in range(25)]
    curve += [(24, 2, "dev", "mAP (all)", 0.5), (24, 2, "dev", "mAP@unseen", float("nan"))]
    frame = pd.DataFrame(curve, columns=["step", "epoch", "split", "metric", "value"])
    path = workspace / artifact("finetuned_curves").path
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    params = {
        "seed": 7,
        "model": {"width": 8, "loss": {"gamma": 2.0}},
        "finetune": {"epochs": 3},
        "promotion": {"benchmark": BENCHMARK, "min_value": 0.3, "max_drop": {f"{BENCHMARK}/F1": 0.05}},
    }
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    deps = [{"path": "data/labels", "hash": "md5", "md5": "0123456789abcdef0123456789abcdef.dir"}]
    outs = [{"path": "data/models/finetuned", "md5": hashlib.md5(weights).hexdigest() + ".dir"}]
    lock = {"schema": "2.0", "stages": {"finetune": {"cmd": "true", "deps": deps, "outs": outs}}}
    (workspace / "dvc.lock").write_text(yaml.safe_dump(lock))


@pytest.fixture
def fake_tagger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tagger that knows two tags and finds both in every image; asked for the tag `nothing` it refuses."""

    def load(directory: str) -> Callable[..., list[list[TagScore]]]:
        assert Path(directory, "thresholds.json").is_file()
        shipped = json.loads(Path(directory, "label_system.json").read_text())
        assert {tag["name"]: tag["threshold"] for tag in shipped["tags"]} == {"cat": 0.5, "dog": 0.25}

        def tagger(
            images: list, tags: list | None = None, threshold: float | None = None, top_k: int | None = None
        ) -> list:
            if tags == ["nothing"]:
                raise ValueError("no embedding for 'nothing'")
            found = [TagScore(0, "cat", 0.9, 0.5, "object"), TagScore(1, "dog", 0.6, 0.5, "object")]
            found = [tag for tag in found if (not tags or tag.name in tags) and tag.score >= (threshold or 0)]
            return [found[:top_k] for _ in images]

        return tagger

    fake = types.ModuleType("ram.inference.tagger")
    fake.load = load  # type: ignore[attr-defined]
    fake.THRESHOLDS_FILE = "thresholds.json"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ram.inference.tagger", fake)
