"""The artifact `tag_embeddings`: a folder with the embeddings of a label system's tags and what made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from ram.label_system import LabelSystem
from ram.model.params import ModelParams
from ram.storage import read_json, write_json

EMBEDDINGS, PROVENANCE = "tag_embeddings.safetensors", "provenance.json"

# K tags, E text embedding width


def save_tag_embeddings(
    directory: Path, embedding_KE: np.ndarray, label_system: LabelSystem, text_encoder: str, templates: str
) -> None:
    """Write the folder: row i of the embeddings is the tag with id i."""
    assert len(embedding_KE) == len(label_system)
    directory.mkdir(parents=True, exist_ok=True)
    save_file({"embedding_KE": np.ascontiguousarray(embedding_KE, dtype=np.float32)}, directory / EMBEDDINGS)
    provenance = {
        "text_encoder": text_encoder,
        "templates": templates,
        "label_system_version": label_system.version,
        "names": label_system.names,
        "width": embedding_KE.shape[1],
    }
    write_json(provenance, directory / PROVENANCE)


def load_tag_embeddings(directory: Path, label_system: LabelSystem, params: ModelParams) -> Tensor:
    """embedding_KE, float32. Raises `ValueError` where it was made for other tags or by another text encoder."""
    provenance = read_json(directory / PROVENANCE)
    wanted = {
        "label_system_version": label_system.version,
        "text_encoder": params.text_encoder,
        "templates": params.templates,
    }
    for fact, value in wanted.items():
        if provenance[fact] != value:
            raise ValueError(f"{directory} was made with {fact} {provenance[fact]}, not {value}; run embed_tags again")
    return torch.from_numpy(load_file(directory / EMBEDDINGS)["embedding_KE"])
