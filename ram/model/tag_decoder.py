"""Tags ask, image tokens answer: one logit a tag (RAM, section 3.3; the published code calls it the tagging head)."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram.model.layers import LAYER_NORM_EPS, Attention, FeedForward

# B images, N image tokens (the pooled one first), K tags, D token width, E text embedding width, W decoder width


class TagDecoderLayer(nn.Module):
    """Cross-attention to the image tokens and a feed-forward block. Without self-attention tags never interact."""

    def __init__(self, width: int, token_width: int, ffn_ratio: float, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.crossattention = Attention(width, token_width, dropout, pre_norm)
        self.feed_forward = FeedForward(width, ffn_ratio, dropout, pre_norm)


class TagDecoder(nn.Module):
    """Scores any tag from its text embedding: a subset, a chunk or a new tag gets the logits it would get among all."""

    def __init__(
        self,
        *,
        embedding_width: int,
        token_width: int,
        width: int,
        num_layers: int,
        num_heads: int,
        ffn_ratio: float,
        pre_norm: bool,
        dropout: float,
        initial_score: float = 0.5,
        num_tags_per_chunk: int = 0,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_tags_per_chunk = num_tags_per_chunk
        self.query_proj = nn.Linear(embedding_width, width)
        self.layer = nn.ModuleList(
            TagDecoderLayer(width, token_width, ffn_ratio, dropout, pre_norm) for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS) if pre_norm else nn.Identity()
        self.fc = nn.Linear(width, 1)
        # Embeddings have length 1, so this gives queries of unit variance: they learn far faster than small ones.
        nn.init.normal_(self.query_proj.weight, std=1.0)
        nn.init.zeros_(self.query_proj.bias)
        nn.init.constant_(self.fc.bias, math.log(initial_score / (1 - initial_score)))

    def forward(self, tokens_BND: Tensor, embedding_KE: Tensor) -> Tensor:
        """logits_BK. Memory is bounded by `num_tags_per_chunk` tags at a time (0: all), which changes no logit."""
        contexts = self._contexts(tokens_BND)
        chunks = embedding_KE.split(self.num_tags_per_chunk or max(len(embedding_KE), 1))
        return torch.cat([self._logits(contexts, chunk) for chunk in chunks], dim=1)

    def attention(self, tokens_BND: Tensor, embedding_KE: Tensor) -> Tensor:
        """attention_BKN of the last layer over the spatial tokens, heads averaged; every row sums to 1."""
        contexts = self._contexts(tokens_BND)
        chunks = embedding_KE.split(self.num_tags_per_chunk or max(len(embedding_KE), 1))
        return torch.cat([self._attention(contexts, chunk) for chunk in chunks], dim=1)

    @property
    def layers(self) -> list[TagDecoderLayer]:
        """The layers, the first of which the tag encoder of the caption branch shares."""
        return cast(list[TagDecoderLayer], list(self.layer))

    def _contexts(self, tokens_BND: Tensor) -> list[tuple[Tensor, Tensor]]:
        # The keys and values of a picture serve all tags: projected once, whatever the chunks.
        return [layer.crossattention.project_context(tokens_BND, self.num_heads) for layer in self.layers]

    def _query(self, embedding_KE: Tensor) -> Tensor:
        # A batch of 1: queries, and the first layer's projection of them, are the same for every picture.
        return F.relu(self.query_proj(embedding_KE))[None]

    def _layers(self, hidden: Tensor, contexts: list[tuple[Tensor, Tensor]]) -> Tensor:
        for layer, (key, value) in zip(self.layers, contexts, strict=False):
            query = layer.crossattention.project_query(hidden, self.num_heads)
            hidden = layer.crossattention.attend(hidden, query, key, value)
            hidden = layer.feed_forward(hidden)
        return hidden

    def _logits(self, contexts: list[tuple[Tensor, Tensor]], embedding_KE: Tensor) -> Tensor:
        hidden_BKW = self._layers(self._query(embedding_KE), contexts)
        return self.fc(self.final_norm(hidden_BKW)).squeeze(-1)

    def _attention(self, contexts: list[tuple[Tensor, Tensor]], embedding_KE: Tensor) -> Tensor:
        hidden_BKW = self._layers(self._query(embedding_KE), contexts[:-1])
        last = self.layers[-1].crossattention
        query_BHKA = last.project_query(hidden_BKW, self.num_heads)
        attention_BKN = last.weights(query_BHKA, contexts[-1][0])[:, :, 1:]
        return attention_BKN / attention_BKN.sum(-1, keepdim=True).clamp_min(1e-12)
