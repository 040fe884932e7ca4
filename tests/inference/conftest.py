"""A few pictures in shards, and a small checkpoint that never saw a pretrained weight."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tars import write_tar

from ram.io.tables import Table, write_table
from ram.labels import LabelSystem, Tag
from ram.model.build import CaptionParams, ModelParams, build_model
from ram.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ram.pipeline.catalog import artifact

NAMES = ["dog", "cat", "beach", "red", "run"]


@pytest.fixture
def write_pictures(tmp_path: Path) -> Callable[[], tuple[Table, Path]]:
    """Writes 7 pictures in 2 shards, every third of split test."""

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
def params() -> ModelParams:
    return ModelParams(
        image_encoder="resnet10t", image_size=32, num_frozen_blocks=3, token_width=16, width=16, num_heads=2,
        ffn_ratio=2.0, text_encoder="package:wordllama", templates="plain",
        caption=CaptionParams(vocabulary_size=60, num_heads=2),
    )  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path: Path, params: ModelParams) -> Checkpoint:
    embedding_KE = torch.nn.functional.normalize(torch.randn(5, 256, generator=torch.Generator().manual_seed(0)), dim=1)
    model = build_model(params, embedding_KE, ["a dog runs", "a red cat"])
    labels = LabelSystem(
        [Tag(tag_id=i, name=name, synonyms=("hound",) if name == "dog" else ()) for i, name in enumerate(NAMES)]
    )
    save_checkpoint(tmp_path / "checkpoint", model, labels)
    return load_checkpoint(tmp_path / "checkpoint")
