"""Drawn images with a table of what they show, and a small model that knows a part of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from ram.datasets.source import Sample
from ram.datasets.synthetic import SampleWorld
from ram.io.tables import write_json
from ram.labels import LabelSystem, Tag
from ram.model.build import build_model
from ram.model.checkpoint import save_checkpoint
from ram.model.params import ModelParams
from ram.model.text_encoder import make_text_encoder

KNOWN = [
    Tag(tag_id=0, name="tree", synonyms=("oak",)),
    Tag(tag_id=1, name="road", kind="scene"),
    Tag(tag_id=2, name="zebra"),
]
NEW = ["beach", "kitchen", "snow"]


def draw_photos(root: Path, num_images: int = 160) -> Path:
    """`root` with images in `drawn/`, and `everything.csv`: all that each shows."""
    world, rows = SampleWorld(name="world"), []
    (root / "drawn").mkdir()
    for sample in world.read(("finetune", 0, num_images)):
        assert isinstance(sample, Sample)
        path = f"drawn/{sample.key}.jpg"
        (root / path).write_bytes(sample.image)
        rows += [(path, name) for name in sorted({label.name for label in sample.labels})]
    pd.DataFrame(rows, columns=["image", "tag"]).to_csv(root / "everything.csv", index=False)
    return root


def write_model(directory: Path, **changes: object) -> Path:
    """A checkpoint of the tags in KNOWN, with thresholds, on a pretrained backbone."""
    params = ModelParams(
        **{
            "image_encoder": "efficientnet_lite0", "pretrained": "package:efficientnet_lite0", "image_size": 64,
            "num_frozen_blocks": "all", "token_width": 64, "width": 64, "num_heads": 2, "ffn_ratio": 2.0,
            "pre_norm": True, "dropout": 0.0, "text_encoder": "package:wordllama", "templates": "plain", **changes,
        }
    )  # fmt: skip
    labels = LabelSystem(KNOWN)
    embedding_KE = torch.from_numpy(make_text_encoder(params.text_encoder).embed(labels.names, params.templates))
    save_checkpoint(directory, build_model(params, embedding_KE, seed=0), labels)
    write_json({"default": 0.4, "open_set": 0.3, "tags": {"zebra": 0.77}}, directory / "thresholds.json")
    return directory
