"""The artifact `tag_embeddings`: a folder with the embeddings of a label system's tags and what made them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from ram.io.tables import read_json, write_json
from ram.labels import EmbeddingProvenance, LabelSystem
from ram.model.params import ModelParams

EMBEDDINGS, PROVENANCE = "tag_embeddings.safetensors", "provenance.json"
_NUM_NAMED = 5  # tags that an error names

# K tags, E text embedding width


def check_embeddings(embedding_KE: np.ndarray, names: Sequence[str]) -> None:
    """`ValueError` that names the tags without a row, or with one that is zero or not finite.

    A tag with a zero row gets a score like any other, and it means nothing: the published code left new tags so.
    """
    if len(embedding_KE) > len(names):
        raise ValueError(f"there are {len(embedding_KE)} embeddings for {len(names)} tags; embed the tags again")
    lengths = np.linalg.norm(embedding_KE.astype(np.float32), axis=-1)
    if lengths.ndim == 2:  # of descriptions: a tag is as good as its shortest
        lengths = lengths.min(axis=1)
    bad = [name for name, length in zip(names, lengths, strict=False) if not np.isfinite(length) or length < 1e-6]
    for what, tags in (("no", names[len(embedding_KE) :]), ("a zero or non-finite", bad)):
        if tags:
            named = ", ".join(map(repr, tags[:_NUM_NAMED])) + (
                f" and {len(tags) - _NUM_NAMED} more" if len(tags) > _NUM_NAMED else ""
            )
            raise ValueError(f"{len(tags)} tags have {what} embedding: {named}; embed them with the text encoder")


def provenance_of(
    embedding_KE: np.ndarray, label_system: LabelSystem, text_encoder: str, templates: str
) -> EmbeddingProvenance:
    """What made the embeddings of `label_system`; `ValueError` as of `check_embeddings`."""
    check_embeddings(embedding_KE, label_system.names)
    return EmbeddingProvenance(
        text_encoder=text_encoder,
        templates=templates,
        width=embedding_KE.shape[-1],
        content=embeddings_hash(embedding_KE),
        label_system_version=label_system.version,
    )


def embeddings_hash(embedding_KE: np.ndarray) -> str:
    """12 hex digits of the matrix as float32."""
    return hashlib.sha256(np.ascontiguousarray(embedding_KE, dtype="<f4").tobytes()).hexdigest()[:12]


def save_tag_embeddings(
    directory: Path, embedding_KE: np.ndarray, label_system: LabelSystem, text_encoder: str, templates: str
) -> None:
    """Write the folder: row i of the embeddings is the tag with id i. `ValueError` as of `check_embeddings`."""
    provenance = provenance_of(embedding_KE, label_system, text_encoder, templates)
    directory.mkdir(parents=True, exist_ok=True)
    save_file({"embedding_KE": np.ascontiguousarray(embedding_KE, dtype=np.float32)}, directory / EMBEDDINGS)
    write_json(dataclasses.asdict(provenance) | {"names": label_system.names}, directory / PROVENANCE)


def load_tag_embeddings(directory: Path, label_system: LabelSystem, params: ModelParams) -> Tensor:
    """embedding_KE, float32.

    Raises `ValueError` where it was made for other tags or by another text encoder, or is not what was made.
    """
    provenance = EmbeddingProvenance.from_json(read_json(directory / PROVENANCE))
    wanted = {
        "label_system_version": label_system.version,
        "text_encoder": params.text_encoder,
        "templates": params.templates,
    }
    for fact, value in wanted.items():
        if (made_with := getattr(provenance, fact)) != value:
            raise ValueError(f"{directory} was made with {fact} {made_with}, not {value}; run embed_tags again")
    embedding_KE = load_file(directory / EMBEDDINGS)["embedding_KE"]
    check_embeddings(embedding_KE, label_system.names)
    if embeddings_hash(embedding_KE) != provenance.content:
        raise ValueError(f"{directory / EMBEDDINGS} is not what {PROVENANCE} says was made; run embed_tags again")
    return torch.from_numpy(embedding_KE)
