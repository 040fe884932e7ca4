"""A small corpus in tables, features without images, and a model of a few thousand weights that trains on them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ram.io.tables import Table, write_table
from ram.model.build import CaptionParams, ModelParams, build_model
from ram.model.ram import RAM
from ram.pipeline.catalog import artifact
from ram.training.batches import Batches, BatchParams
from ram.training.examples import Examples, examples_from_tags
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.sampler import Corpus

TAGS = ["dog", "cat", "grass", "sofa", "red", "run"]
NUM_IMAGES = 22  # of split train; the last two have no tag


class MadeFeatures:
    """Features that name their image and view: what the cache would give."""

    cached = True
    shards = False

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> Tensor:
        views = np.zeros(len(image_ids), int) if seeds is None else seeds % 2
        rngs = [np.random.default_rng([zlib.crc32(i.encode()), int(v)]) for i, v in zip(image_ids, views, strict=True)]
        return torch.from_numpy(np.stack([rng.standard_normal((512, 2, 2), np.float32) for rng in rngs]))


class MadeImages(MadeFeatures):
    """Images, of noise, that the backbone reads itself."""

    cached = False

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> Tensor:
        return super().read(image_ids, seeds).reshape(-1, 2, 32, 32)[:, [0, 1, 1]]


def image_row(image_id: str, split: str, shard: str) -> dict[str, Any]:
    source = image_id.split("/")[0]
    plain = {"member": "x", "offset": 0, "num_bytes": 1, "width": 8, "height": 8, "sha256": "0", "perceptual_hash": "0"}
    return {"image_id": image_id, "source": source, "split": split, "shard": shard, **plain}


def tags_of(number: int) -> list[int]:
    return sorted({number % 6, (number * number + 1) % 6})


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # Threads of small operations wait for each other longer than they work.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, list[dict[str, Any]]], Table]:
    def make(name: str, rows: list[dict[str, Any]]) -> Table:
        schema = artifact(name).schema
        assert schema is not None
        write_table(rows, tmp_path / name, schema)
        return Table(tmp_path / name, schema)

    return make


@pytest.fixture
def tables(write: Callable[..., Table]) -> SimpleNamespace:
    ids = [f"web/{i}" for i in range(NUM_IMAGES)]
    images = [image_row(image_id, "train", f"train-{i % 3}.tar") for i, image_id in enumerate(ids)]
    images += [image_row(f"coco/{i}", "finetune", "coco.tar") for i in range(6)]
    images += [image_row(f"coco/{i}", "dev", "coco.tar") for i in range(6, 12)]
    tags = [
        {"image_id": ids[i], "tag_id": tag, "origin": "caption", "score": 1.0, "caption_indices": [tag % 2]}
        for i in range(NUM_IMAGES - 2)
        for tag in tags_of(i)
    ]
    pairs = [
        {"image_id": image_id, "split": "train", "caption_index": c, "caption": f"caption {c} of {image_id}"}
        for image_id in ids
        for c in (0, 1)
    ]
    labels = [
        {"image_id": f"coco/{i}", "benchmark": "coco", "name": name, "x0": None, "y0": None, "x1": None, "y1": None}
        for i in range(0, 12, 2)
        for name in ("dog", "kite")
    ]
    rows = {"images": images, "parsed_tags": tags, "pairs": pairs, "labels": labels}
    return SimpleNamespace(**{name: write(name, value) for name, value in rows.items()})


@pytest.fixture
def examples(tables: SimpleNamespace, tmp_path: Path) -> Examples:
    return examples_from_tags(
        tmp_path / "examples", tables.images, tables.pairs, tables.parsed_tags, np.ones(len(TAGS), bool)
    )


@pytest.fixture
def corpus(examples: Examples) -> Corpus:
    return Corpus((examples,))


@pytest.fixture
def make_batches(corpus: Corpus) -> Callable[..., Batches]:
    def make(params: BatchParams | None = None, **changes: Any) -> Batches:
        options = {"seed": 5, "caption_share": 1.0, **changes}
        inputs = options.pop("inputs", MadeFeatures())
        return Batches(corpus, inputs, params or BatchParams(batch_size=8), TAGS, **options)

    return make


def build_tiny_model(**changes: Any) -> RAM:
    params = ModelParams(
        **{
            "image_encoder": "resnet10t",
            "image_size": 64,
            "num_frozen_blocks": "all",
            "token_width": 16,
            "width": 16,
            "num_heads": 2,
            "ffn_ratio": 2.0,
            "pre_norm": True,
            "dropout": 0.1,
            "caption": CaptionParams(vocabulary_size=60, num_heads=2, max_tokens=12, dropout=0.1),
            **changes,
        }
    )
    embedding_KE = F.normalize(torch.randn(len(TAGS), 16, generator=torch.Generator().manual_seed(1)), dim=1)
    return build_model(params, embedding_KE, [f"caption {i} of web/{i}" for i in range(20)], seed=0)


@pytest.fixture
def made_features() -> MadeFeatures:
    return MadeFeatures()


@pytest.fixture
def made_images() -> MadeImages:
    return MadeImages()


@pytest.fixture
def make_tiny_model() -> Callable[..., RAM]:
    return build_tiny_model


@pytest.fixture
def make_training() -> Callable[..., TrainingParams]:
    def make(**changes: Any) -> TrainingParams:
        optimizer = OptimizerParams(learning_rate=3e-3, clip_norm=1.0, ema_decay=0.9)
        return TrainingParams(
            **{"epochs": 2, "batch": BatchParams(batch_size=8), "optimizer": optimizer, "log_every": 2, **changes}
        )

    return make
