"""Pictures in, tags out: `load` a checkpoint, call the tagger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ram.label_system import LabelSystem, Tag
from ram.model.checkpoint import CONFIG, Checkpoint, load_checkpoint
from ram.model.folding import folded
from ram.model.preprocess import PictureError, as_image, open_image, upright_rgb
from ram.model.text_encoder import TextEncoder, make_text_encoder
from ram.storage import read_json

Picture = str | Path | bytes | Image.Image | np.ndarray

THRESHOLDS_FILE = "thresholds.json"
DEFAULT_THRESHOLD = 0.5  # where a checkpoint has no thresholds

# B pictures, K tags, E text embedding width


@dataclass(frozen=True, slots=True)
class TagScore:
    """One tag of one picture. `score` and `threshold` are in 0 … 1; `tag_id` and `kind` are None for a new tag."""

    tag_id: int | None
    name: str
    score: float
    threshold: float
    kind: str | None


@dataclass(frozen=True)
class Thresholds:
    """From which score on a tag is said to be there."""

    default: float = DEFAULT_THRESHOLD
    open_set: float = DEFAULT_THRESHOLD  # for tags that the model was not trained on
    tags: Mapping[str, float] | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Thresholds:
        """Of thresholds.json: {"default", "tags": {name: threshold}, "open_set"}; what else it holds is for others."""
        default = float(document["default"])
        return cls(default, float(document.get("open_set", default)), dict(document.get("tags", {})))

    def of(self, tag: Tag | None) -> float:
        """The threshold of a tag of the label system, or of a new one (None)."""
        return self.open_set if tag is None else (self.tags or {}).get(tag.name, self.default)


@dataclass(frozen=True)
class _Wanted:
    """The tags of one call: what each is called, what it is in the label system, and its embedding."""

    names: list[str]
    tags: list[Tag | None]
    embedding_KE: torch.Tensor


class Tagger:
    """Calls give, for every picture, the tags whose score reaches their threshold, the highest score first."""

    def __init__(self, checkpoint: Checkpoint, thresholds: Thresholds | None = None) -> None:
        self.checkpoint = checkpoint
        self.thresholds = thresholds or Thresholds()
        self._encoder = folded(checkpoint.model.image_encoder, checkpoint.params.image_size)
        self._text_encoder: TextEncoder | None = None
        self._own = _Wanted(
            [tag.name for tag in self.label_system.tags],
            list(self.label_system.tags),
            checkpoint.model.tag_embedding_KE.detach(),
        )
        self._new: dict[str, torch.Tensor] = {}

    @property
    def label_system(self) -> LabelSystem:
        """The tags that the model was trained on."""
        return self.checkpoint.label_system

    @property
    def version(self) -> str:
        """12 hex digits of the checkpoint's content."""
        return self.checkpoint.version

    def __call__(
        self,
        images: Picture | Sequence[Picture],
        tags: Sequence[str] | None = None,
        threshold: float | None = None,
        top_k: int | None = None,
        batch_size: int = 16,
    ) -> list[list[TagScore]]:
        """One list a picture. Pictures are paths, bytes, PIL images or arrays of uint8, H × W × 3.

        `tags`: score these names alone, tags of the model (or synonyms of theirs) and new ones alike; new ones are
        embedded by the text encoder that the model was trained with. `threshold` (0 … 1) replaces every tag's own.
        `top_k`: at most so many a picture. Raises `PictureError` for a picture that cannot be read, `ValueError` for
        wrong arguments.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be in 0 … 1, got {threshold}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        if isinstance(images, str | Path | bytes | Image.Image | np.ndarray):
            images = list(images) if isinstance(images, np.ndarray) and images.ndim == 4 else [images]
        wanted = self._own if tags is None else self._wanted(tags)
        limits_K = np.array([self.thresholds.of(tag) if threshold is None else threshold for tag in wanted.tags])
        found = []
        for start in range(0, len(images), batch_size):
            for scores_K in self._scores(images[start : start + batch_size], wanted.embedding_KE):
                found.append(_chosen(scores_K, wanted, limits_K, top_k))
        return found

    def scores(self, images: Sequence[Picture], tags: Sequence[str] | None = None) -> np.ndarray:
        """scores_BK, float32 in 0 … 1, of every tag, in the order of `tags` or of the label system; no threshold."""
        wanted = self._own if tags is None else self._wanted(tags)
        return self._scores(images, wanted.embedding_KE)

    def logits(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """logits_BK of the model's own tags, of pictures that `checkpoint.model.preprocess` has normalised."""
        model = self.checkpoint.model
        with torch.inference_mode():
            return model.tag_logits(self._encoder(images_BCHW.to(model.device)))

    def _scores(self, images: Sequence[Picture], embedding_KE: torch.Tensor) -> np.ndarray:
        model = self.checkpoint.model
        if len(images) == 0:
            return np.empty((0, len(embedding_KE)), np.float32)
        size = model.preprocess.image_size
        batch = torch.stack([model.preprocess(read_picture(image, size)) for image in images]).to(model.device)
        with torch.inference_mode():
            return model.tag_logits(self._encoder(batch), embedding_KE).float().sigmoid().cpu().numpy()

    def _wanted(self, names: Sequence[str]) -> _Wanted:
        if isinstance(names, str):
            raise ValueError(f"tags must be a list of names, got the text {names!r}")
        if not names:
            raise ValueError("tags is empty; name at least one tag, or leave it out for all of the model's")
        tags = [self.label_system.find(name) for name in names]
        self._embed([name for name, tag in zip(names, tags, strict=True) if tag is None])
        own_KE = self.checkpoint.model.tag_embedding_KE.detach()
        rows = [self._new[name] if tag is None else own_KE[tag.tag_id] for name, tag in zip(names, tags, strict=True)]
        return _Wanted(list(names), tags, torch.stack(rows))

    def _embed(self, names: Sequence[str]) -> None:
        """Embed the new names that have not been asked for before."""
        missing = sorted(set(names) - self._new.keys())
        if not missing:
            return
        params = self.checkpoint.params
        if self._text_encoder is None:
            self._text_encoder = make_text_encoder(params.text_encoder)
        rows = torch.from_numpy(self._text_encoder.embed(missing, params.templates)).to(self.checkpoint.model.device)
        model = self.checkpoint.model
        rows = model.tag_decoder.from_text(rows, model.tag_embedding_KE)
        self._new |= dict(zip(missing, rows, strict=True))


def _chosen(scores_K: np.ndarray, wanted: _Wanted, limits_K: np.ndarray, top_k: int | None) -> list[TagScore]:
    order = np.argsort(-scores_K, kind="stable")
    order = order[scores_K[order] >= limits_K[order]][:top_k]
    return [
        TagScore(
            tag_id=tag.tag_id if (tag := wanted.tags[k]) else None,
            name=wanted.names[k],
            score=float(scores_K[k]),
            threshold=float(limits_K[k]),
            kind=tag.kind if tag else None,
        )
        for k in order
    ]


def load(source: str | Path = "champion", device: str | torch.device = "cpu") -> Tagger:
    """The tagger of a checkpoint folder, or of a model of the registry: `champion`, a version, `models:/…`.

    Thresholds are those of `thresholds.json` in the folder; where it has none, 0.5 for every tag.
    """
    directory = Path(source)
    if not (directory / CONFIG).is_file():
        if isinstance(source, Path) or directory.is_dir() or (len(directory.parts) > 1 and ":" not in source):
            raise ValueError(f"{source} is no checkpoint: it has no {CONFIG}; name a checkpoint folder, or champion")
        from ram.tracking import model_dir

        directory = model_dir(str(source))
    checkpoint = load_checkpoint(directory, device)
    path = directory / THRESHOLDS_FILE
    return Tagger(checkpoint, Thresholds.from_json(read_json(path)) if path.is_file() else None)


def read_picture(picture: Picture, min_size: int | None = None) -> Image.Image:
    """The RGB picture that any of the accepted forms is; a JPEG may be decoded smaller, no side under `min_size`."""
    if isinstance(picture, Image.Image):
        return upright_rgb(picture)
    if isinstance(picture, np.ndarray):
        return as_image(picture)
    if isinstance(picture, bytes):
        return open_image(picture, min_size=min_size)
    try:
        return open_image(Path(picture).read_bytes(), min_size=min_size)
    except PictureError as error:
        raise PictureError(f"{picture}: {error}") from error
