"""CLIP or SigLIP, zero-shot, through transformers: the likeness of an image and of a prompt with the name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ram.evaluation.baselines.interface import Asked, NameScorer, Settings, text_of
from ram.evaluation.mapping import MappedName
from ram.evaluation.scoring import best_device
from ram.model.templates import fill_templates

# B images, K names, T templates, D width of the space that images and texts share

_NAMES_AT_ONCE = 64


class ClipZeroShot(NameScorer):
    """A name's score: (1 + cosine) / 2 of CLIP; of SigLIP, which has a bias, the sigmoid it was trained with.

    CLIP was trained to tell captions apart, not to say yes or no: its scores lie close together, and a threshold is best
    chosen on labels.
    """

    def __init__(self, source: str, settings: Settings, templates: str = "ram") -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self._source, self._settings, self._templates = source, settings, templates
        try:
            self._model: Any = AutoModel.from_pretrained(source).eval().to(best_device())
            self._tokenizer = AutoTokenizer.from_pretrained(source)
            self._processor = AutoImageProcessor.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"cannot load CLIP from {source!r}: {error}; name a folder with its files, or a hub id"
            ) from error
        if not hasattr(self._model, "get_image_features"):
            raise ValueError(f"{source!r} is a {type(self._model).__name__}, no CLIP: it embeds no images")

    def scores(self, asked: Asked, names: Sequence[MappedName]) -> Iterator[np.ndarray]:
        """See `NameScorer`."""
        assert asked.finder is not None
        text_KD = self._embed_names([text_of(name.name) for name in names])
        bias = getattr(self._model, "logit_bias", None)
        step = self._settings.batch_size
        for start in range(0, len(asked.keys), step):
            images = [asked.finder.open(key) for key in asked.keys[start : start + step]]
            values = self._processor(images=images, return_tensors="pt")["pixel_values"].to(self._model.device)
            with torch.inference_mode():
                cosine_BK = (
                    F.normalize(_features(self._model.get_image_features(pixel_values=values)), dim=1) @ text_KD.T
                )
                if bias is None:
                    scores_BK = (1 + cosine_BK) / 2
                else:
                    scores_BK = torch.sigmoid(cosine_BK * self._model.logit_scale.exp() + bias)
            yield scores_BK.float().cpu().numpy()

    @torch.inference_mode()
    def _embed_names(self, names: Sequence[str]) -> Tensor:
        """Rows of length 1: every prompt's embedding normalized, their mean, normalized."""
        rows = []
        for name in names:
            prompts = fill_templates(name, self._templates)
            parts = [self._embed(prompts[i : i + _NAMES_AT_ONCE]) for i in range(0, len(prompts), _NAMES_AT_ONCE)]
            rows.append(F.normalize(torch.cat(parts).mean(dim=0), dim=0))
        return torch.stack(rows)

    def _embed(self, texts: Sequence[str]) -> Tensor:
        limit = self._model.config.text_config.max_position_embeddings
        # SigLIP was trained on texts of full length, CLIP does not mind.
        batch = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
        ).to(self._model.device)
        kept = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
        return F.normalize(_features(self._model.get_text_features(**kept)), dim=1)

    def facts(self) -> dict[str, Any]:
        """Where it is from, and its prompts."""
        return {"source": self._source, "model": type(self._model).__name__, "templates": self._templates}


def _features(output: Any) -> Tensor:
    """transformers 5 wraps the projected features in an output object."""
    return output if isinstance(output, Tensor) else output.pooler_output
