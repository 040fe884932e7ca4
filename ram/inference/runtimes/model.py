"""A model made ready for tagging: equal outputs, less work."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from ram.inference.runtimes.decoder import FastTagDecoder, PreparedTags
from ram.inference.runtimes.encoder import FastEncoder
from ram.model.precision import PRECISIONS, Precision, resolve_precision
from ram.model.ram import RAM

# B images, N image tokens, K tags, S tags of a shortlist, D token width, E text embedding width


class FastModel:
    """A copy of a model for inference: training the model afterwards does not change what this one says.

    Images and tags go in and tokens and logits come out as of `RAM`, on its device and as float32. `fp32`: logits equal
    to rounding. `bf16`: matrix products of 16 bits; convolutional backbones stay at 32.
    """

    def __init__(self, model: RAM, precision: Precision = "fp32") -> None:
        """`precision` is the requested one; the attribute `precision` holds the one in use. `ValueError` for an unknown one."""
        self.device = model.device
        self.precision = resolve_precision(precision, model.device)
        dtype = PRECISIONS[self.precision]
        self.encoder = FastEncoder(model.image_encoder, model.params.image_size, dtype)
        self._decoder = FastTagDecoder(model.tag_decoder, dtype)
        self._alignment = copy.deepcopy(model.text_alignment)
        own_KE = model.tag_embedding_KE.detach()
        self._own_KE = own_KE.clone() if model.tag_decoder.learns_tags else own_KE
        self._own: PreparedTags | None = None

    @property
    def own_tags(self) -> PreparedTags:
        """The model's own tags, row i the tag with id i, prepared when first wanted."""
        if self._own is None:
            self._own = self.prepare(self._own_KE)
        return self._own

    def prepare(self, embedding_KE: Tensor) -> PreparedTags:
        """What is the same for all images of tags with these embeddings, to be kept while the same tags are asked."""
        return self._decoder.prepare(embedding_KE.to(self.device))

    @torch.inference_mode()
    def encode(self, images_BCHW: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """tokens_BND of images that `preprocess` made, and height and width of the map of the spatial tokens."""
        features = self.encoder.trunk(images_BCHW.to(self.device))
        return self.encoder.tail(features), self.encoder.grid(features)

    @torch.inference_mode()
    def tag_logits(self, tokens_BND: Tensor, tags: PreparedTags | None = None) -> Tensor:
        """logits_BK of the model's own tags, or of these."""
        tags = self.own_tags if tags is None else tags
        logits_BK = self._decoder.logits(tokens_BND, tags)
        if self._alignment is not None:
            logits_BK = logits_BK + self._alignment.logits(tokens_BND[:, 0], tags.embedding_KE)
        return logits_BK

    def scores(self, tokens_BND: Tensor, tags: PreparedTags | None = None) -> np.ndarray:
        """scores_BK, float32 in 0 … 1: the sigmoid of the logits."""
        return self.tag_logits(tokens_BND, tags).sigmoid().cpu().numpy()
