"""The tag decoder for tagging: what no image changes is computed once a list of tags, what no tag changes once an image."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram.inference.runtimes.linear import PackedLinear
from ram.model.tag_decoder import TagDecoder, TagDecoderLayer

# B images, N image tokens, K tags, S tags of a shortlist, D token width, E text embedding width, W decoder width,
# H heads, A width of a head

_ROWS_AT_ONCE = 1152  # tags × images that are decoded together: bounds memory, and what is computed stays in the cache
Contexts = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class PreparedTags:
    """A list of tags, and what of it is the same for every image; `first_KW` None: images change the queries."""

    embedding_KE: Tensor
    query_KW: Tensor | None
    first_KW: Tensor | None  # what the first layer asks

    def __len__(self) -> int:
        return len(self.embedding_KE)

    def rows(self, rows: Tensor | slice) -> PreparedTags:
        """Some of the tags."""
        some = [None if part is None else part[rows] for part in (self.query_KW, self.first_KW)]
        return PreparedTags(self.embedding_KE[rows], *some)


class FastLayer:
    """A layer of the tag decoder, with packed weights."""

    def __init__(self, layer: TagDecoderLayer, num_heads: int, dtype: torch.dtype) -> None:
        attention, feed_forward = layer.crossattention, layer.feed_forward
        self.num_heads, self.pre_norm = num_heads, attention.pre_norm
        self.query, self.dense = PackedLinear(attention.query, dtype), PackedLinear(attention.dense, dtype)
        self.key, self.value = PackedLinear(attention.key, dtype), PackedLinear(attention.value, dtype)
        self.inner = PackedLinear(feed_forward.intermediate, dtype, gelu=True)
        self.output = PackedLinear(feed_forward.output, dtype)
        self.attention_norm = copy.deepcopy(attention.LayerNorm).to(dtype)
        self.norm = copy.deepcopy(feed_forward.LayerNorm).to(dtype)

    def asks(self, hidden_BKW: Tensor) -> Tensor:
        """What the tags look for: query_BKW."""
        return self.query(self.attention_norm(hidden_BKW) if self.pre_norm else hidden_BKW)

    def context(self, tokens_BND: Tensor) -> tuple[Tensor, Tensor]:
        """key_BHNA and value_BHNA."""
        return self._heads(self.key(tokens_BND)), self._heads(self.value(tokens_BND))

    def __call__(self, hidden_BKW: Tensor, query_BKW: Tensor, key_BHNA: Tensor, value_BHNA: Tensor) -> Tensor:
        """hidden_BKW after the layer; `hidden` and `query` may have a batch of 1 that stands for every image."""
        num_images = len(key_BHNA)
        query_BHKA = self._heads(query_BKW).expand(num_images, -1, -1, -1)
        mixed_BHKA = F.scaled_dot_product_attention(query_BHKA, key_BHNA, value_BHNA)
        mixed_BKW = mixed_BHKA.transpose(1, 2).flatten(2)
        hidden_BKW = self.dense(mixed_BKW, hidden_BKW.expand(num_images, -1, -1).contiguous())
        if self.pre_norm:
            return self.output(self.inner(self.norm(hidden_BKW)), hidden_BKW)
        hidden_BKW = self.attention_norm(hidden_BKW)
        return self.norm(self.output(self.inner(hidden_BKW), hidden_BKW))

    def _heads(self, projected_BKW: Tensor) -> Tensor:
        return projected_BKW.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)


class FastTagDecoder:
    """Equal logits to the decoder's, which may be trained further without effect on this copy.

    Queries are made, and logits read, in float32 by the decoder's own methods; what lies between in `dtype`.
    """

    def __init__(self, decoder: TagDecoder, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._decoder = copy.deepcopy(decoder, {id(decoder.layer): nn.ModuleList()}).eval().requires_grad_(False)
        self._layers = [FastLayer(layer, decoder.num_heads, dtype) for layer in decoder.layers]

    @torch.inference_mode()
    def prepare(self, embedding_KE: Tensor) -> PreparedTags:
        """What the tags of these embeddings ask, of every image alike where no image changes it."""
        embedding_KE = self._decoder.checked(embedding_KE).detach()
        if embedding_KE.ndim == 3:  # described: every image weighs the descriptions anew
            return PreparedTags(embedding_KE, None, None)
        no_image = embedding_KE.new_zeros(1, 0)
        chunks = embedding_KE.split(_ROWS_AT_ONCE)
        queries = [self._decoder.queries(no_image, chunk)[0].to(self.dtype) for chunk in chunks]
        return PreparedTags(
            embedding_KE, torch.cat(queries), torch.cat([self._layers[0].asks(some) for some in queries])
        )

    def logits(self, tokens_BND: Tensor, tags: PreparedTags) -> Tensor:
        """logits_BK, float32. Memory is bounded whatever the number of tags."""
        contexts = self._contexts(tokens_BND)
        size = max(_ROWS_AT_ONCE // len(tokens_BND), 1)
        chunks = [tags.rows(slice(start, start + size)) for start in range(0, len(tags), size)]
        return torch.cat([self._decoded(tokens_BND[:, 0], contexts, chunk) for chunk in chunks], dim=1)

    def _decoded(self, pooled_BD: Tensor, contexts: Contexts, tags: PreparedTags) -> Tensor:
        if tags.query_KW is None or tags.first_KW is None:
            hidden = self._decoder.queries(pooled_BD, tags.embedding_KE).to(self.dtype)
            asked = self._layers[0].asks(hidden)
        else:
            hidden, asked = tags.query_KW[None], tags.first_KW[None]
        hidden = self._layers[0](hidden, asked, *contexts[0])
        for layer, context in zip(self._layers[1:], contexts[1:], strict=True):
            hidden = layer(hidden, layer.asks(hidden), *context)
        return self._decoder.read(hidden.float(), tags.embedding_KE)

    def _contexts(self, tokens_BND: Tensor) -> Contexts:
        tokens_BND = tokens_BND.to(self.dtype)
        return [layer.context(tokens_BND) for layer in self._layers]
