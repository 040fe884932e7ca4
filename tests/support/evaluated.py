"""A benchmark of drawn images in a folder, a table of their labels, their captions, and a tiny random CLIP."""

from __future__ import annotations

import json
import string
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ram.io.tables import Table
from ram.pipeline.catalog import artifact


@dataclass(frozen=True)
class World:
    """Paths of what was made."""

    root: Path
    images: Path
    labels: Path
    captions: Path
    model: Path


def make_world(root: Path, drawn: Path) -> World:
    """The test images of a drawn workspace, as people have them."""
    root.mkdir(exist_ok=True)
    tables = {n: Table(drawn / artifact(n).path, artifact(n).schema).to_pandas() for n in ("images", "labels", "pairs")}
    images = tables["images"][tables["images"]["split"] == "test"]
    (root / "photos").mkdir()
    with tarfile.open(drawn / artifact("image_shards").path / "0.tar") as tar:
        for member in images["member"]:
            (root / "photos" / member).write_bytes(tar.extractfile(member).read())
    labels = tables["labels"][tables["labels"]["image_id"].isin(images["image_id"])]
    file_of = dict(zip(images["image_id"], images["member"], strict=True))
    pd.DataFrame({"image": labels["image_id"].map(file_of), "tag": labels["name"]}).to_csv(
        root / "labels.csv", index=False
    )
    pairs = tables["pairs"][tables["pairs"]["image_id"].isin(images["image_id"])]
    lines = [{"image": file_of[i], "captions": [c]} for i, c in zip(pairs["image_id"], pairs["caption"], strict=True)]
    (root / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return World(
        root, root / "photos", root / "labels.csv", root / "captions.jsonl", drawn / artifact("finetuned_model").path
    )


def tiny_clip(directory: Path, family: str = "clip") -> Path:
    """A CLIP or SigLIP of random weights, 32 pixels wide, with a tokenizer of letters, as transformers saves one."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer, SiglipConfig, SiglipModel

    letters = string.ascii_lowercase + ",.-"
    vocab = {t: i for i, t in enumerate(["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)])}
    CLIPTokenizer(vocab=vocab, merges=[]).save_pretrained(directory)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(directory)
    shared = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**shared, "vocab_size": len(vocab), "max_position_embeddings": 32, "projection_dim": 12,
            "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "projection_size": 16}  # fmt: skip
    vision = {**shared, "image_size": 32, "patch_size": 16, "projection_dim": 12}
    torch.manual_seed(0)
    if family == "clip":
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).save_pretrained(directory)
    else:
        SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(directory)
    return directory
