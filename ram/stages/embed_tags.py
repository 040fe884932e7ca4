"""label_system -> tag_embeddings: the text embedding of every tag, by the frozen text encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ram.label_system import LabelSystem
from ram.model.params import ModelParams
from ram.model.tag_embeddings import save_tag_embeddings
from ram.model.text_encoder import make_text_encoder

SHARED_KNOBS = {"model": ("text_encoder", "templates")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    model: ModelParams


class Inputs(NamedTuple):
    label_system: dict[str, Any]
    scratch: Path


class Outputs(NamedTuple):
    tag_embeddings: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    label_system = LabelSystem.from_json(inputs.label_system)
    encoder = make_text_encoder(params.model.text_encoder)
    embedding_KE = encoder.embed(label_system.names, params.model.templates)
    directory = inputs.scratch / "tag_embeddings"
    save_tag_embeddings(directory, embedding_KE, label_system, encoder.spec, params.model.templates)
    return Outputs(directory)
