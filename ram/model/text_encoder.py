"""Tag names -> text embeddings by a frozen text encoder and an ensemble of prompts (RAM, section 3.3)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ram.model.packages import package_path
from ram.model.templates import fill_templates

# K names, T templates, E embedding width


class TextEncoder(ABC):
    """A frozen text encoder; `spec` names it, and makes the same encoder again."""

    def __init__(self, spec: str, batch_size: int = 256) -> None:
        self.spec = spec
        self.batch_size = batch_size

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One float32 row a text, of any length."""

    def embed(self, names: Sequence[str], templates: str = "short") -> np.ndarray:
        """embedding_KE, float32, rows of length 1: every prompt's embedding normalized, their mean, normalized.

        `templates` is the name of a set in `ram.model.templates`. Raises `ValueError` for no names, an empty name, or
        an embedding that is zero or not finite: the published code left such rows at zero and said nothing.
        """
        if not names:
            raise ValueError("there is nothing to embed: give at least one tag name")
        prompts = [fill_templates(name, templates) for name in names]
        texts = sorted({text for group in prompts for text in group}, key=lambda text: (len(text), text))
        rows = np.concatenate(
            [self.encode(texts[i : i + self.batch_size]) for i in range(0, len(texts), self.batch_size)]
        )
        rows = _normalize(rows, texts, self.spec)
        row_of = {text: row for row, text in enumerate(texts)}
        means_KE = np.stack([rows[[row_of[text] for text in group]].mean(axis=0) for group in prompts])
        return _normalize(means_KE, names, self.spec)

    def embed_captions(self, captions: Sequence[str]) -> np.ndarray:
        """embedding_CE, float16, of unit length (zero for a caption without tokens). Computed in bf16 where the CPU has it.

        Captions are compared with each other, not stored as what a tag is, so half the precision and twice the speed do. Those of
        like length go through the encoder together and need little padding.
        """
        import torch

        from ram.model.precision import has_bf16

        bf16 = has_bf16(torch.device("cpu"))
        order = np.argsort([len(caption) for caption in captions], kind="stable")
        rows: np.ndarray | None = None
        for numbers in np.split(order, range(self.batch_size, len(order), self.batch_size)):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                batch = self.encode([captions[number] for number in numbers])
            if rows is None:
                rows = np.empty((len(captions), batch.shape[1]), np.float16)
            rows[numbers] = batch / np.linalg.norm(batch, axis=1, keepdims=True).clip(min=1e-12)
        if rows is None:
            raise ValueError("there is nothing to embed: give at least one caption")
        return rows


def _normalize(rows: np.ndarray, texts: Sequence[str], spec: str) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1)
    if bad := [text for text, length in zip(texts, lengths, strict=True) if not np.isfinite(length) or length < 1e-6]:
        raise ValueError(
            f"{spec} gives a zero or non-finite embedding for {bad[0]!r} ({len(bad)} in all); rename or remove it"
        )
    return (rows / lengths[:, None]).astype(np.float32)


class ClipTextEncoder(TextEncoder):
    """The text tower of CLIP, projected into the space it shares with images."""

    def __init__(self, spec: str) -> None:
        from transformers import AutoTokenizer, CLIPTextModelWithProjection

        super().__init__(spec)
        source = spec.removeprefix("clip:")
        self._tokenizer = _from_hub(AutoTokenizer, source)
        self._model = _from_hub(CLIPTextModelWithProjection, source).eval().requires_grad_(False)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        limit = self._model.config.max_position_embeddings
        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            return self._model(**batch).text_embeds.float().numpy()


class SentenceTextEncoder(TextEncoder):
    """A sentence-transformers folder read by transformers alone: the mean over word pieces, normalized."""

    def __init__(self, spec: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        super().__init__(spec)
        source = str(package_path(spec)) if spec.startswith("package:") else spec.removeprefix("transformers:")
        _require_mean_pooling(Path(source))
        self._tokenizer = _from_hub(AutoTokenizer, source)
        self._model = _from_hub(AutoModel, source).eval().requires_grad_(False)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        limit = min(self._model.config.max_position_embeddings, 128)
        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        return ((states * mask).sum(1) / mask.sum(1)).float().numpy()


class WordLlamaTextEncoder(TextEncoder):
    """The static word-piece vectors of WordLlama, averaged: 256 numbers, no transformer, microseconds a name."""

    def __init__(self, spec: str) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        super().__init__(spec)
        folder = package_path(spec)
        self._vectors = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(
            np.float32
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return np.stack([self._vectors[e.ids].mean(axis=0) if e.ids else self._vectors[0] * 0 for e in encoded])


def _no_text_encoder(spec: str) -> TextEncoder:
    raise ValueError(
        "this model's tags were learned without a text encoder (Tag2Text): it cannot score new names; use a model whose "
        "tags are embedded from their names, such as RAM or RAM++"
    )


LEARNED = "learned"  # the spec of a model whose tags no text encoder made

# The beginning of a spec -> what makes it. The first that fits is taken.
TEXT_ENCODERS: dict[str, Callable[[str], TextEncoder]] = {
    "package:all-minilm-l6-v2": SentenceTextEncoder,
    "package:wordllama": WordLlamaTextEncoder,
    "clip:": ClipTextEncoder,
    "transformers:": SentenceTextEncoder,
    LEARNED: _no_text_encoder,
}


def make_text_encoder(spec: str) -> TextEncoder:
    """The encoder that `spec` names: `package:…`, `clip:<hub id or folder>` or `transformers:<folder or hub id>`."""
    for beginning, make in TEXT_ENCODERS.items():
        if spec == beginning or (beginning.endswith(":") and spec.startswith(beginning) and spec != beginning):
            return make(spec)
    raise ValueError(
        f"unknown text encoder {spec!r}; known: {', '.join(TEXT_ENCODERS)} (a folder or hub id follows the colon)"
    )


def _from_hub(cls: Any, source: str) -> Any:
    from transformers.utils import logging

    logging.disable_progress_bar()  # one bar a file, in the midst of the caller's own
    try:
        return cls.from_pretrained(source)
    except OSError as error:
        raise ValueError(f"cannot load a text encoder from {source!r}: {error}") from error
    finally:
        logging.enable_progress_bar()


def _require_mean_pooling(folder: Path) -> None:
    pooling = folder / "1_Pooling" / "config.json"
    if pooling.is_file() and not json.loads(pooling.read_text()).get("pooling_mode_mean_tokens", False):
        raise ValueError(f"{folder} pools otherwise than by the mean over tokens, which is all that is supported here")
