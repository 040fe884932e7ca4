"""A trained model as a folder: weights, configuration, label system; enough to tag, with no download."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ram.io.tables import content_hash, read_json, write_json, write_text
from ram.labels import LabelSystem
from ram.model.build import assemble
from ram.model.params import ModelParams
from ram.model.preprocess import Preprocess
from ram.model.ram import RAM
from ram.model.tag_embeddings import check_embeddings, embeddings_hash, provenance_of
from ram.model.tensor_files import check_finite, read_safetensors, shapes_of_safetensors
from ram.model.vocabulary import WordPieces
from ram.pipeline.params import from_mapping

WEIGHTS, CONFIG, LABELS, WORD_PIECES = "model.safetensors", "config.json", "label_system.json", "word_pieces.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model, in eval mode. `version` is 12 hex digits of the folder's content."""

    model: RAM
    label_system: LabelSystem
    params: ModelParams
    extra: dict[str, Any]
    version: str
    directory: Path


def save_checkpoint(
    directory: Path,
    model: RAM,
    label_system: LabelSystem,
    extra: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> str:
    """Write the folder, its configuration last, and return its version. `extra` is any JSON.

    With `half` the weights take 16 bits a number in the file, and the model's own are rounded to what is written.
    The label system is written with the provenance of the model's tag embeddings. `ValueError` that names the tags
    whose embedding is missing, zero or not finite.
    """
    if len(label_system) != model.num_tags:
        raise ValueError(f"the label system has {len(label_system)} tags, the model {model.num_tags}")
    if half:
        large = [name for name, t in model.state_dict().items() if t.abs().max() > torch.finfo(torch.float16).max]
        if large:
            raise ValueError(f"16 bits cannot hold the numbers of {', '.join(large[:3])}; save without half")
        model.half().float()
    embedding_KE = model.tag_embedding_KE.detach().float().cpu().numpy()
    provenance = provenance_of(embedding_KE, label_system, model.params.text_encoder, model.params.templates)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        tensors = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    save_file(tensors, directory / WEIGHTS)
    write_json(label_system.with_embeddings(provenance).to_json(), directory / LABELS)
    if model.caption_branch is not None:
        write_text(model.caption_branch.word_pieces.to_json(), directory / WORD_PIECES)
    config = {
        "format_version": FORMAT_VERSION,
        "params": dataclasses.asdict(model.params),
        "preprocess": dataclasses.asdict(model.preprocess),
        "embedding_width": model.tag_embedding_KE.shape[-1],
        "num_descriptions": model.tag_embedding_KE.shape[1] if model.tag_embedding_KE.ndim == 3 else None,
        "extra": dict(extra or {}),
    }
    write_json(config, directory / CONFIG)
    return checkpoint_version(directory)


def load_checkpoint(directory: Path | str, device: str | torch.device = "cpu") -> Checkpoint:
    """The model of a folder that `save_checkpoint` wrote.

    Raises `ValueError` naming the file that is missing or broken, or the first tensors that do not fit.
    """
    directory = Path(directory)
    for name in (CONFIG, WEIGHTS, LABELS):
        if not (directory / name).is_file():
            raise ValueError(f"{directory} is no checkpoint: it has no {name}")
    config = _read_config(directory / CONFIG)
    if config.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{directory} has format {config.get('format_version')}, this version reads {FORMAT_VERSION}")
    params = from_mapping(ModelParams, config["params"], where=f"{directory / CONFIG}: params")
    preprocess = from_mapping(Preprocess, config["preprocess"], where=f"{directory / CONFIG}: preprocess")
    label_system = LabelSystem.from_json(read_json(directory / LABELS))
    word_pieces = None
    if params.caption is not None:
        word_pieces = WordPieces.from_json((directory / WORD_PIECES).read_text(encoding="utf-8"))
    described = [config["num_descriptions"]] if config.get("num_descriptions") else []
    shape = (len(label_system), *described, config["embedding_width"])
    _require_embedding(directory / WEIGHTS, shape)
    try:
        with torch.device("meta"):  # takes no memory: a configuration may ask for any
            sizes = assemble(params, preprocess, torch.zeros(shape), word_pieces, pretrained=False).state_dict()
    except RuntimeError as error:  # timm's and PyTorch's word on sizes that cannot be
        raise ValueError(f"{directory / CONFIG} describes a model that cannot be built: {str(error)[:300]}") from error
    _require_shapes({name: tuple(tensor.shape) for name, tensor in sizes.items()}, directory / WEIGHTS)
    model = assemble(params, preprocess, torch.zeros(shape), word_pieces, pretrained=False)
    _load_weights(model, directory / WEIGHTS)
    _check_tag_embeddings(model, label_system, directory)
    return Checkpoint(
        model=model.to(device).eval(),
        label_system=label_system,
        params=params,
        extra=config["extra"],
        version=checkpoint_version(directory),
        directory=directory,
    )


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    wanted = {"params": dict, "preprocess": dict, "embedding_width": int, "extra": dict}
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold an object, got {type(config).__name__}; take the folder as it was saved")
    wrong = [name for name, kind in wanted.items() if not isinstance(config.get(name), kind)]
    if config.get("format_version") == FORMAT_VERSION and wrong:
        raise ValueError(
            f"{path}: {wrong[0]} must be {wanted[wrong[0]].__name__}, got {str(config.get(wrong[0]))[:80]!r}"
        )
    return config


def _require_embedding(path: Path, shape: tuple[int, ...]) -> None:
    """`ValueError` where the file has tag embeddings of another shape: before memory for a shape that lies is taken."""
    found = shapes_of_safetensors(path).get("tag_embedding_KE")
    if found is None:
        raise ValueError(f"{path} has no tag embeddings; take the folder as it was saved")
    if found != shape:
        raise ValueError(f"{path} has tag embeddings of shape {found}, {CONFIG} and {LABELS} say {shape}")


def _require_shapes(expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """`ValueError` with the first tensors of the file that do not fit."""
    found = shapes_of_safetensors(path)
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    problems += [
        f"{name} is {found[name]}, not {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        first = "; ".join(problems[:5])
        raise ValueError(f"{path} does not fit its configuration ({len(problems)} tensors), first: {first}")


def checkpoint_version(directory: Path) -> str:
    """12 hex digits of the content of the checkpoint's own files; what others put beside them does not count.

    Of the label system its version counts, which thresholds written into it later do not change.
    """
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS, WORD_PIECES):
        if (directory / name).is_file():
            digest.update(f"{name} {content_hash(directory / name)}\n".encode())
    digest.update(LabelSystem.from_json(read_json(directory / LABELS)).version.encode())
    return digest.hexdigest()[:12]


def complete_label_system(directory: Path, thresholds: Mapping[str, Any]) -> LabelSystem:
    """The label system of a checkpoint folder with the provenance of its embeddings and every tag's threshold."""
    return LabelSystem.from_json(read_json(directory / LABELS)).with_thresholds(thresholds)


def _check_tag_embeddings(model: RAM, label_system: LabelSystem, directory: Path) -> None:
    embedding_KE = model.tag_embedding_KE.detach().float().numpy()
    check_embeddings(embedding_KE, label_system.names)
    made_by = label_system.embeddings
    if made_by is not None and made_by.content != embeddings_hash(embedding_KE):
        raise ValueError(f"{directory / WEIGHTS} has other tag embeddings than {LABELS} says; take both of one model")


def _load_weights(model: RAM, path: Path) -> None:
    tensors = read_safetensors(path)
    # Of the tags' embeddings it is told by the tag.
    check_finite({name: tensor for name, tensor in tensors.items() if name != "tag_embedding_KE"}, path)
    model.load_state_dict(tensors)
