"""A model that sees colors, small images, and a server on a port of its own."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from listening import listening
from PIL import Image

from ram.io.tables import write_json
from ram.labels import LabelSystem, Tag
from ram.model.build import ModelParams, build_model
from ram.model.checkpoint import save_checkpoint
from ram.model.preprocess import Preprocess

pytest.importorskip("fastapi", reason="the server needs ram-tagger[serve]")

COLORS = ("red", "green", "blue")


class ColorModel:
    """Stands for `ServedModel`: the score of a color is its share of the image's first pixel, 0 … 1."""

    preprocess = Preprocess(image_size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    labels = b'{"model_version":"colors","label_system_version":"l","open_set_threshold":0.5,"labels":[]}'

    def __init__(self, directory: Path = Path("colors"), version: str = "colors") -> None:
        self.directory, self.version = directory, version
        self.batches: list[int] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def find(self, name: str) -> None:
        if not any(letter.isalnum() for letter in name):
            raise ValueError(f"a tag needs at least one letter, got {name!r}")

    def tag(self, images: Sequence[Image.Image], options: Any) -> list[list[dict[str, Any]]]:
        assert self.may_answer.wait(30)
        self.batches.append(len(images))
        least = 0.5 if options.threshold is None else options.threshold
        answers = []
        for image in images:
            pixel = dict(zip(COLORS, image.getpixel((0, 0)), strict=True))
            rows = [
                {
                    "name": name,
                    "score": pixel.get(name, 0) / 255,
                    "threshold": least,
                    "kind": "attribute",
                    "tag_id": None,
                }
                for name in options.tags or COLORS
            ]
            rows = sorted((row for row in rows if row["score"] >= least), key=lambda row: -row["score"])
            for row in rows[: options.num_explained]:
                row["place"] = {"box": [0, 0, 1, 1], "cells": [[1.0]]}
            answers.append(rows[: options.top_k])
        return answers


def image(color: str | tuple[int, int, int] = "red", size: tuple[int, int] = (5, 4), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def make_image() -> Callable[..., bytes]:
    return image


@pytest.fixture
def color_model() -> Callable[..., ColorModel]:
    return ColorModel


@pytest.fixture
def make_app() -> Callable[..., Any]:
    """An application over color models, by name; other arguments are limits, `keys` or fields of `ServerParams`."""
    from ram.serving.limits import Limits
    from ram.serving.models import Models
    from ram.serving.server import ServerParams, create_app

    def make(champion: Any = None, challenger: Any = None, keys: Any = None, **others: Any) -> Any:
        served = {"champion": champion or ColorModel()} | ({"challenger": challenger} if challenger else {})
        models = Models(
            {name: (lambda model=model: model.directory) for name, model in served.items()},
            lambda directory: next(m for m in served.values() if m.directory == directory),
        )
        models.load()
        params = {name: others.pop(name) for name in ("max_batch", "max_wait_ms", "refresh_s") if name in others}
        return create_app(models, ServerParams(limits=Limits(**others), **{"refresh_s": 0.0, **params}), keys)

    return make


@pytest.fixture
def listen() -> Callable[..., Any]:
    """Serves an application on a free port of the loopback while the context lasts; gives the port."""
    return listening


@pytest.fixture
def write_checkpoint() -> Callable[..., Path]:
    """A small model of two tags that never saw a pretrained weight."""

    def write(directory: Path, seed: int = 0, aligned: bool = False) -> Path:
        pytest.importorskip("wordllama")
        generator = torch.Generator().manual_seed(seed)
        params = ModelParams(
            image_encoder="resnet10t", image_size=128, num_frozen_blocks=3, token_width=16, width=16, num_heads=2,
            ffn_ratio=2.0, text_encoder="package:wordllama", templates="plain", text_alignment=aligned,
        )  # fmt: skip
        embedding_KE = torch.nn.functional.normalize(torch.randn(2, 256, generator=generator), dim=1)
        tags = LabelSystem([Tag(tag_id=0, name="dog", synonyms=("hound",)), Tag(tag_id=1, name="<b>cat</b>")])
        torch.manual_seed(seed)
        save_checkpoint(directory, build_model(params, embedding_KE), tags)
        write_json({"default": 0.4, "tags": {"dog": 0.0}, "open_set": 0.3}, directory / "thresholds.json")
        return directory

    return write
