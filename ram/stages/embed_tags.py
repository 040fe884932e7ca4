"""label_system -> tag_embeddings: the text embedding of every tag, by the frozen text encoder; and which are close."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ram.labels import LabelSystem, Tag
from ram.labels.select import READING_OF_KIND
from ram.labels.suggest import review_frame
from ram.model.params import ModelParams
from ram.model.tag_embeddings import save_tag_embeddings
from ram.model.text_encoder import make_text_encoder

_CHUNK = 1024  # tags compared at a time
SHARED_PARAMS = {"model": ("text_encoder", "templates")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    model: ModelParams
    min_similarity: float  # cosine of two tags' embeddings from which on merging them is suggested; 1: never

    def __post_init__(self) -> None:
        if not 0 < self.min_similarity <= 1:
            raise ValueError(f"min_similarity must be above 0 and at most 1, got {self.min_similarity}")


class Inputs(NamedTuple):
    label_system: dict[str, Any]
    scratch: Path


class Outputs(NamedTuple):
    tag_embeddings: Path
    tag_neighbors: pd.DataFrame


def run(inputs: Inputs, params: Params) -> Outputs:
    """The embeddings, and pairs of tags that are close by them, as undecided rows of the review file."""
    label_system = LabelSystem.from_json(inputs.label_system)
    encoder = make_text_encoder(params.model.text_encoder)
    embedding_KE = encoder.embed(label_system.names, params.model.templates)
    directory = inputs.scratch / "tag_embeddings"
    save_tag_embeddings(directory, embedding_KE, label_system, encoder.spec, params.model.templates)
    return Outputs(directory, neighbors(label_system, embedding_KE, params.min_similarity))


def neighbors(label_system: LabelSystem, embedding_KE: np.ndarray, min_similarity: float) -> pd.DataFrame:
    """Tags of one sort that are each other's nearest and as close as that: the rarer to be merged into the other.

    A tag and what it is a kind of or made from (dog and animal, tree trunk and tree) are close by nature, and not
    suggested. Memory grows with `_CHUNK` x K.
    """
    readings = [READING_OF_KIND[tag.kind] for tag in label_system]
    nearest_K = np.full(len(label_system), -1)
    similarity_K = np.zeros(len(label_system), np.float32)
    for reading in set(readings):
        own = np.flatnonzero([r == reading for r in readings])
        for start in range(0, len(own), _CHUNK):
            rows = own[start : start + _CHUNK]
            similar = embedding_KE[rows] @ embedding_KE[own].T
            similar[np.arange(len(rows)), np.arange(start, start + len(rows))] = -1
            nearest_K[rows], similarity_K[rows] = own[similar.argmax(axis=1)], similar.max(axis=1)
    found = []
    for tag in label_system:
        k, other = tag.tag_id, label_system[nearest_K[tag.tag_id]]
        mutual = k < other.tag_id and nearest_K[other.tag_id] == k
        if mutual and min_similarity <= similarity_K[k] < 1 and not _related(tag, other):
            found.append((similarity_K[k], *sorted((tag, other), key=lambda t: t.frequency)))
    return review_frame(
        {
            "action": "merge",
            "tag": rare.name,
            "value": common.name,
            "reason": "close embeddings",
            "evidence": f"similarity {similarity:.3f}; captions: {rare.frequency} and {common.frequency}",
        }
        for similarity, rare, common in sorted(found, key=lambda pair: -pair[0])
    )


def _related(a: Tag, b: Tag) -> bool:
    short, long = sorted((a.name, b.name), key=len)
    return a.name in b.parents or b.name in a.parents or long.startswith(short) or long.endswith(short)
