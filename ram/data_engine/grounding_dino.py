"""Grounding-DINO (arXiv 2303.05499), RAM's localizer: boxes of what names say, from transformers' implementation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# B prompts (an image and some of its tags), Q boxes of a prompt, T text tokens; pixels_CHW of one image

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # what its published checkpoints were trained with

Box = tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingDinoParams:
    """The detector, and from which score on a box is a find."""

    model: str  # hub id or folder
    min_box_score: float  # of a box, on its best word
    min_tag_score: float  # of a box, mean over the words of the tag
    short_side: int  # pixels; the long side is at most 5/3 of it
    batch_size: int

    def __post_init__(self) -> None:
        if not (0 <= self.min_box_score < 1 and 0 <= self.min_tag_score < 1):
            raise ValueError(
                f"min_box_score and min_tag_score must be in 0 … 1, got {self.min_box_score}, {self.min_tag_score}"
            )
        if self.short_side < 1 or self.batch_size < 1:
            raise ValueError(
                f"short_side and batch_size must be 1 or more, got {self.short_side} and {self.batch_size}"
            )


@dataclass(frozen=True, slots=True)
class _Prompt:
    """An image with as many of its names as a text has room for: `spans` are their tokens, `names` their positions."""

    image: int
    pixels_CHW: Tensor
    token_ids: list[int]
    spans: list[slice]
    names: list[int]


class GroundingDino:
    """Finds names in images, the names of an image in one pass where its text has room for them."""

    def __init__(self, params: GroundingDinoParams, device: torch.device) -> None:
        from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer

        self._params, self._device = params, device
        self._tokenizer: Any = AutoTokenizer.from_pretrained(params.model)
        self._model: Any = AutoModelForZeroShotObjectDetection.from_pretrained(params.model).to(device).eval()
        self._max_tokens = int(self._model.config.max_text_len)

    @torch.inference_mode()
    def find(self, images: Iterable[Image.Image], names: Sequence[Sequence[str]]) -> list[list[Box | None]]:
        """For every name of every image its best box in fractions of width and height, or None below the thresholds."""
        found: list[list[Box | None]] = [[None] * len(of_image) for of_image in names]
        waiting: list[_Prompt] = []
        for prompt in self._prompts(images, names):
            waiting.append(prompt)
            if len(waiting) == self._params.batch_size:
                self._detect(waiting, found)
                waiting = []
        if waiting:
            self._detect(waiting, found)
        return found

    def _prompts(self, images: Iterable[Image.Image], names: Sequence[Sequence[str]]) -> Iterator[_Prompt]:
        for index, (image, of_image) in enumerate(zip(images, names, strict=True)):
            pixels_CHW = prepared(image, self._params.short_side)
            for token_ids, spans, numbers in self._texts(of_image):
                yield _Prompt(index, pixels_CHW, token_ids, spans, numbers)

    def _texts(self, names: Sequence[str]) -> Iterator[tuple[list[int], list[slice], list[int]]]:
        """Texts "[CLS] a cat . a dog . [SEP]", which the model reads name by name, and where each name stands."""
        stop = self._tokenizer.convert_tokens_to_ids(".")
        start: list[int] = [self._tokenizer.cls_token_id]
        token_ids = list(start)
        spans: list[slice] = []
        numbers: list[int] = []
        for number, name in enumerate(names):
            words = self._tokenizer(name.lower().replace(".", " "), add_special_tokens=False)["input_ids"]
            words = words[: self._max_tokens - 3]
            if len(token_ids) + len(words) + 2 > self._max_tokens:
                yield [*token_ids, self._tokenizer.sep_token_id], spans, numbers
                token_ids, spans, numbers = list(start), [], []
            spans.append(slice(len(token_ids), len(token_ids) + len(words)))
            numbers.append(number)
            token_ids += [*words, stop]
        if numbers:
            yield [*token_ids, self._tokenizer.sep_token_id], spans, numbers

    def _detect(self, prompts: Sequence[_Prompt], found: list[list[Box | None]]) -> None:
        output = self._model(**self._batch(prompts))
        scores_BQT = output.logits.float().sigmoid()
        boxes_BQ4 = _corners(output.pred_boxes.float()).clamp(0, 1)
        for prompt, scores_QT, boxes_Q4 in zip(prompts, scores_BQT, boxes_BQ4, strict=True):
            usable_Q = scores_QT.amax(1) >= self._params.min_box_score
            usable_Q &= (boxes_Q4[:, 2:] > boxes_Q4[:, :2]).all(1)
            for span, name in zip(prompt.spans, prompt.names, strict=True):
                score_Q = scores_QT[:, span].mean(1).where(usable_Q, -1.0)
                best = int(score_Q.argmax())
                if score_Q[best] >= self._params.min_tag_score:
                    found[prompt.image][name] = tuple(boxes_Q4[best].tolist())

    def _batch(self, prompts: Sequence[_Prompt]) -> dict[str, Tensor]:
        """Texts and images padded to the longest and the largest, with masks of what is none of them."""
        height, width = (max(p.pixels_CHW.shape[side] for p in prompts) for side in (1, 2))
        length = max(len(p.token_ids) for p in prompts)
        pixels_BCHW = torch.zeros(len(prompts), 3, height, width)
        pixel_mask = torch.zeros(len(prompts), height, width, dtype=torch.long)
        token_ids = torch.full((len(prompts), length), int(self._tokenizer.pad_token_id))
        token_mask = torch.zeros_like(token_ids)
        for i, p in enumerate(prompts):
            _, h, w = p.pixels_CHW.shape
            pixels_BCHW[i, :, :h, :w], pixel_mask[i, :h, :w] = p.pixels_CHW, 1
            token_ids[i, : len(p.token_ids)], token_mask[i, : len(p.token_ids)] = torch.tensor(p.token_ids), 1
        batch = {"pixel_values": pixels_BCHW, "pixel_mask": pixel_mask}
        batch |= {"input_ids": token_ids, "attention_mask": token_mask}
        return {name: tensor.to(self._device) for name, tensor in batch.items()}


@lru_cache(maxsize=1)
def kept_grounding_dino(params: GroundingDinoParams, device: torch.device) -> GroundingDino:
    """The detector, loaded once a process, since a process takes many parts."""
    return GroundingDino(params, device)


def prepared(image: Image.Image, short_side: int) -> Tensor:
    """pixels_CHW of an RGB image, scaled until its short side, or 3/5 of its long one, is `short_side`."""
    scale = min(short_side / min(image.size), short_side * 5 / 3 / max(image.size))
    width, height = (max(round(side * scale), 1) for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    return torch.from_numpy((pixels - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)).permute(2, 0, 1)


def _corners(boxes: Tensor) -> Tensor:
    """Of center and size."""
    center, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([center - size / 2, center + size / 2], dim=-1)
