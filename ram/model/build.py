"""Chooses the parts of a model by name. Nothing else knows names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from torch import Tensor, nn

from ram.model.alignment import TextAlignment
from ram.model.caption_decoder import CaptionBranch
from ram.model.image_encoder import ImageEncoder
from ram.model.params import CaptionParams, DistillationParams, ModelParams
from ram.model.preprocess import Preprocess
from ram.model.ram import RAM
from ram.model.tag_decoder import DescribedTagDecoder, LearnedTagDecoder, TagDecoder
from ram.model.text_encoder import LEARNED
from ram.model.vocabulary import WordPieces, make_word_pieces
from ram.model.weights import input_statistics, load_pretrained

__all__ = [
    "CaptionParams",
    "DistillationParams",
    "ModelParams",
    "assemble",
    "build_image_encoder",
    "build_model",
    "build_preprocess",
]


TAG_DECODERS: dict[str, type[TagDecoder]] = {
    "text": TagDecoder,
    "described": DescribedTagDecoder,
    "learned": LearnedTagDecoder,
}


def build_model(
    params: ModelParams, embedding_KE: Tensor, captions: Iterable[str] | None = None, *, seed: int = 0
) -> RAM:
    """A model to train: pretrained backbone, everything else at its random start, the tags of `embedding_KE`.

    `captions` are read where the caption branch makes its own word pieces. The same arguments give the same weights.
    Where tags are learned, `embedding_KE` says how many there are and nothing more: they begin at random, and the
    model's `params` name no text encoder, since none could make another such tag.
    """
    if params.tag_queries == "learned":
        params = dataclasses.replace(params, text_encoder=LEARNED, templates="plain")
        generator = torch.Generator().manual_seed(seed)
        embedding_KE = LearnedTagDecoder.initial_tags(len(embedding_KE), params.width, params.initial_score, generator)
    word_pieces = None
    if params.caption is not None:
        word_pieces = make_word_pieces(params.caption.vocabulary, params.caption.vocabulary_size, captions)
    return assemble(params, build_preprocess(params), embedding_KE, word_pieces, pretrained=True, seed=seed)


def assemble(
    params: ModelParams,
    preprocess: Preprocess,
    embedding_KE: Tensor,
    word_pieces: WordPieces | None,
    *,
    pretrained: bool,
    seed: int = 0,
) -> RAM:
    """The model of `params`; without `pretrained`, from random weights alone: nothing is read or downloaded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image_encoder = build_image_encoder(params, pretrained=pretrained, seed=seed)
        tag_decoder = TAG_DECODERS[params.tag_queries](
            embedding_width=embedding_KE.shape[-1],
            token_width=image_encoder.token_width,
            **_picked(params, "width", "num_layers", "num_heads", "ffn_ratio", "pre_norm", "dropout"),
            **_picked(params, "initial_score", "num_tags_per_chunk"),
        )
        caption_branch = None
        if params.caption is not None:
            assert word_pieces is not None
            caption_branch = CaptionBranch(
                word_pieces=word_pieces,
                token_width=image_encoder.token_width,
                **_picked(params, "width", "ffn_ratio", "pre_norm"),
                **_picked(params.caption, "num_tag_encoder_layers", "num_shared_layers", "num_caption_layers"),
                **_picked(params.caption, "num_heads", "max_tokens", "dropout", "label_smoothing"),
            )
        return RAM(
            params=params,
            preprocess=preprocess,
            image_encoder=image_encoder,
            tag_decoder=tag_decoder,
            caption_branch=caption_branch,
            text_alignment=(
                TextAlignment(image_encoder.token_width, embedding_KE.shape[1]) if params.text_alignment else None
            ),
            embedding_KE=embedding_KE,
        )


def build_image_encoder(params: ModelParams, *, pretrained: bool = True, seed: int = 0) -> ImageEncoder:
    """The image encoder alone, with the backbone's pretrained weights where `params` names any."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _backbone(params, from_hub=pretrained and params.pretrained == "hub")
        encoder = ImageEncoder(backbone, params.num_frozen_blocks, params.token_width, params.standardize_features)
    if pretrained and params.pretrained not in (None, "hub"):
        load_pretrained(backbone, params.pretrained)
    encoder.set_image_size(params.image_size)
    return encoder


def build_preprocess(params: ModelParams) -> Preprocess:
    """The input that the backbone's weights were trained on, at the size of `params`."""
    config = resolve_data_config({}, pretrained_cfg=_pretrained_config(params.image_encoder))
    mean, std = input_statistics(params.pretrained, config["mean"], config["std"])
    return Preprocess(image_size=params.image_size, mean=tuple(mean), std=tuple(std))  # type: ignore[arg-type]


def _backbone(params: ModelParams, from_hub: bool) -> nn.Module:
    _pretrained_config(params.image_encoder)
    options = {"pretrained": from_hub, "num_classes": 0, **params.image_encoder_options}
    try:
        backbone = timm.create_model(params.image_encoder, **{"global_pool": "", **options})
    except AssertionError:  # some models of timm refuse to be without pooling; what they pool is not read
        backbone = timm.create_model(params.image_encoder, **options)
    return backbone.to(memory_format=torch.channels_last)


def _pretrained_config(name: str) -> dict[str, Any]:
    config = timm.get_pretrained_cfg(name) if timm.is_model(name.split(".")[0]) else None
    if config is None:
        near = ", ".join(timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:5])
        raise ValueError(f"image_encoder {name!r} is no model of timm {timm.__version__}; near it: {near or 'none'}")
    return config.to_dict()


def _picked(params: Any, *names: str) -> dict[str, Any]:
    known = {f.name for f in dataclasses.fields(params)}
    assert known >= set(names), names
    return {name: getattr(params, name) for name in names}
