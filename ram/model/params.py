"""The section `model` of params.yaml: the architecture, and which weights it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

MAX_TOKENS = 4096
MAX_LAYERS, MAX_BLOCKS = (
    256,
    1000,
)  # of a decoder, and of a stage of a backbone: a stranger's file may ask for any number


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionParams:
    """The caption branch. Its width is the tag decoder's, since they share layers."""

    vocabulary: str = "corpus"  # learned from the captions; or a BERT tokenizer: package:…, path or hub id
    vocabulary_size: int = 2000  # of "corpus"
    num_tag_encoder_layers: int = 2
    num_shared_layers: int = 2  # of the tag encoder, with the tag decoder
    num_caption_layers: int = 2
    num_heads: int = 4
    max_tokens: int = 40  # word pieces of a caption, and of the tags that go in
    dropout: float = 0.1
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        if not 4 <= self.max_tokens <= MAX_TOKENS:
            raise ValueError(f"max_tokens must be 4 to {MAX_TOKENS}, got {self.max_tokens}")
        if max(self.num_tag_encoder_layers, self.num_caption_layers) > MAX_LAYERS:
            raise ValueError(
                f"num_tag_encoder_layers {self.num_tag_encoder_layers} and num_caption_layers {self.num_caption_layers} "
                f"must be at most {MAX_LAYERS}"
            )
        if self.num_shared_layers > self.num_tag_encoder_layers:
            raise ValueError(
                f"num_shared_layers {self.num_shared_layers} exceeds num_tag_encoder_layers "
                f"{self.num_tag_encoder_layers}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationParams:
    """The paired image encoder whose embedding the pooled image token is drawn to."""

    image_encoder: str | None = None  # CLIP: hub id or folder; null: no distillation


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelParams:
    """What a model is made of. All of it is saved in the checkpoint."""

    image_encoder: str  # a name of timm
    image_size: int  # side in pixels, both ways
    image_encoder_options: Mapping[str, Any] = field(default_factory=dict)  # of timm, where the name does not say all
    pretrained: str | None = None  # package:efficientnet_lite0, a file, or hub; null: random weights
    num_frozen_blocks: int | str = 0  # blocks of the backbone that never train, from the input on; "all"
    token_width: int | None = 512  # of the image tokens; null: the backbone's own, unprojected
    standardize_features: bool = False  # fixed mean 0, deviation 1 of every channel before the projection
    text_encoder: str = "package:all-minilm-l6-v2"  # see ram.model.text_encoder
    templates: str = "short"  # prompts of the ensemble
    tag_queries: Literal["text", "described", "learned"] = "text"  # what asks for a tag; learned: its own weights alone
    width: int = 768
    num_layers: int = 2
    num_heads: int = 4
    ffn_ratio: float = 4.0
    pre_norm: bool = False  # post-norm is RAM's; pre-norm learns from scratch in minutes
    dropout: float = 0.1
    initial_score: float = 0.5  # every tag's score before training
    num_tags_per_chunk: int = 0  # tags decoded at a time: bounds memory, exact; 0: all
    text_alignment: bool = False  # adds the similarity of the pooled token to the tag's text; RAM: false
    caption: CaptionParams | None = None
    distillation: DistillationParams = field(default_factory=DistillationParams)

    def __post_init__(self) -> None:
        if self.image_size < 16:
            raise ValueError(f"image_size must be at least 16 pixels, got {self.image_size}")
        if isinstance(self.num_frozen_blocks, str) and self.num_frozen_blocks != "all":
            raise ValueError(f'num_frozen_blocks must be a number or "all", got {self.num_frozen_blocks!r}')
        if not isinstance(self.num_frozen_blocks, str) and self.num_frozen_blocks < 0:
            raise ValueError(f"num_frozen_blocks must be 0 or more, got {self.num_frozen_blocks}")
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
        if self.caption and self.width % self.caption.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of caption.num_heads {self.caption.num_heads}")
        if self.caption and self.caption.num_shared_layers > self.num_layers:
            raise ValueError(
                f"caption.num_shared_layers {self.caption.num_shared_layers} exceeds num_layers {self.num_layers}"
            )
        if self.text_alignment and self.tag_queries != "text":
            raise ValueError(f"text_alignment wants tag_queries text: one embedding a tag, got {self.tag_queries}")
        if not 1 <= self.num_layers <= MAX_LAYERS:
            raise ValueError(f"num_layers must be 1 to {MAX_LAYERS}, got {self.num_layers}")
        for name in ("depth", "depths", "layers"):
            asked = self.image_encoder_options.get(name, 0)
            most = max([n for n in asked if isinstance(n, int)] if isinstance(asked, Sequence) else [asked], default=0)
            if isinstance(most, int) and most > MAX_BLOCKS:
                raise ValueError(f"image_encoder_options.{name} must be at most {MAX_BLOCKS}, got {most}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if not 0 < self.initial_score < 1:
            raise ValueError(f"initial_score must lie between 0 and 1, got {self.initial_score}")
        if self.distillation.image_encoder and self.token_width is None:
            raise ValueError("distillation wants token_width: the width of the paired encoder's embedding")
