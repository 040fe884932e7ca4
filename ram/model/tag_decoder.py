"""Tags ask, image tokens answer: one logit a tag (RAM, section 3.3; the published code calls it the tagging head)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ram.model.layers import LAYER_NORM_EPS, Attention, FeedForward

# B images, N image tokens (the pooled one first), M views of one image, K tags, J descriptions of a tag, D token width,
# E text embedding width, W decoder width


class TagDecoderLayer(nn.Module):
    """Cross-attention to the image tokens and a feed-forward block. Without self-attention tags never interact."""

    def __init__(self, width: int, token_width: int, ffn_ratio: float, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.crossattention = Attention(width, token_width, dropout, pre_norm)
        self.feed_forward = FeedForward(width, ffn_ratio, dropout, pre_norm)


class TagDecoder(nn.Module):
    """Scores any tag from its text embedding: a subset, a chunk or a new tag gets the logits it would get among all."""

    learns_tags = False  # True: what it is given for a tag is trained with it

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
        self.recompute = False  # in training: what a chunk computes is not kept for its gradient but computed anew
        self.query_proj = nn.Linear(embedding_width, width)
        self.layer = nn.ModuleList(
            TagDecoderLayer(width, token_width, ffn_ratio, dropout, pre_norm) for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS) if pre_norm else nn.Identity()
        self.fc = nn.Linear(width, 1)
        # Embeddings have length 1, so this gives queries of unit variance: they learn far faster than small ones.
        nn.init.normal_(self.query_proj.weight, std=1.0)
        nn.init.zeros_(self.query_proj.bias)
        nn.init.constant_(self.fc.bias, _logit(initial_score))

    def forward(self, tokens_BND: Tensor, embedding_KE: Tensor) -> Tensor:
        """logits_BK. Memory is bounded by `num_tags_per_chunk` tags at a time (0: all), which changes no logit.

        With gradients that holds where `recompute` is set: else every chunk keeps what it computed for its gradient.
        """
        contexts = self._contexts(tokens_BND)
        chunks = self._chunks(embedding_KE)
        logits = self._recomputed if self.recompute and self.training and torch.is_grad_enabled() else self._logits
        return torch.cat([logits(tokens_BND[:, 0], contexts, chunk) for chunk in chunks], dim=1)

    def attention(self, tokens_BND: Tensor, embedding_KE: Tensor) -> Tensor:
        """attention_BKN of the last layer over the spatial tokens, heads averaged; every row sums to 1."""
        contexts = self._contexts(tokens_BND)
        chunks = self._chunks(embedding_KE)
        return torch.cat([self._attention(tokens_BND[:, 0], contexts, chunk) for chunk in chunks], dim=1)

    def logits_without(self, tokens_ND: Tensor, hidden_MN: Tensor, pooled_MD: Tensor, embedding_KE: Tensor) -> Tensor:
        """logits_MK of one image, each time without the spatial tokens that `hidden_MN` is true for.

        `pooled_MD` are the pooled tokens of what is then left.
        """
        seen_MN = ~hidden_MN
        mask_M11N = torch.cat([seen_MN.new_ones(len(seen_MN), 1), seen_MN], dim=1)[:, None, None]
        contexts = []
        for layer in self.layers:
            attention = layer.crossattention
            # The spatial tokens are projected once, whatever the number of windows.
            pooled = attention.project_context(pooled_MD[:, None], self.num_heads)
            spatial = attention.project_context(tokens_ND[None, 1:], self.num_heads)
            contexts.append(
                tuple(torch.cat([p, s.expand(len(p), -1, -1, -1)], dim=2) for p, s in zip(pooled, spatial, strict=True))
            )
        hidden_MKW = self._layers(self.queries(pooled_MD, embedding_KE), cast(Any, contexts), mask_M11N)
        return self.read(hidden_MKW, embedding_KE)

    @property
    def layers(self) -> list[TagDecoderLayer]:
        """The layers, the first of which the tag encoder of the caption branch shares."""
        return cast(list[TagDecoderLayer], list(self.layer))

    def _chunks(self, embedding_KE: Tensor) -> Sequence[Tensor]:
        return embedding_KE.split(self.num_tags_per_chunk) if self.num_tags_per_chunk else [embedding_KE]

    def _contexts(self, tokens_BND: Tensor) -> list[tuple[Tensor, Tensor]]:
        # The keys and values of an image serve all tags: projected once, whatever the chunks.
        return [layer.crossattention.project_context(tokens_BND, self.num_heads) for layer in self.layers]

    def checked(self, embedding_KE: Tensor) -> Tensor:
        """The same embeddings; `ValueError` for none, or a shape that this decoder cannot read."""
        width = self.query_proj.in_features
        if embedding_KE.ndim != 2 or embedding_KE.shape[1] != width or len(embedding_KE) == 0:
            raise ValueError(
                f"tag embeddings must be (tags, {width}) with at least 1 tag, got {tuple(embedding_KE.shape)}"
            )
        return embedding_KE

    def from_text(self, embedding_KE: Tensor, own_KE: Tensor) -> Tensor:
        """Text embeddings of new names in the form of the model's own tags; `ValueError` where that cannot be."""
        return embedding_KE

    def queries(self, pooled_BD: Tensor, embedding_KE: Tensor) -> Tensor:
        """query_BKW that the tags start as; of a batch of 1 where the images' pooled tokens do not change them."""
        # A batch of 1: queries, and the first layer's projection of them, are the same for every image.
        return F.relu(self.query_proj(embedding_KE))[None]

    def _layers(self, hidden: Tensor, contexts: list[tuple[Tensor, Tensor]], mask: Tensor | None = None) -> Tensor:
        for layer, (key, value) in zip(self.layers, contexts, strict=False):
            query = layer.crossattention.project_query(hidden, self.num_heads)
            hidden = layer.crossattention.attend(hidden, query, key, value, mask)
            hidden = layer.feed_forward(hidden)
        return hidden

    def read(self, hidden_BKW: Tensor, embedding_KE: Tensor) -> Tensor:
        """logits_BK of the last layer's states."""
        return self._read(self.final_norm(hidden_BKW), embedding_KE)

    def _read(self, hidden_BKW: Tensor, embedding_KE: Tensor) -> Tensor:
        return self.fc(hidden_BKW).squeeze(-1)

    def _logits(self, pooled_BD: Tensor, contexts: list[tuple[Tensor, Tensor]], embedding_KE: Tensor) -> Tensor:
        hidden_BKW = self._layers(self.queries(pooled_BD, embedding_KE), contexts)
        return self.read(hidden_BKW, embedding_KE)

    def _recomputed(self, pooled_BD: Tensor, contexts: list[tuple[Tensor, Tensor]], embedding_KE: Tensor) -> Tensor:
        return checkpoint(self._logits, pooled_BD, contexts, embedding_KE, use_reentrant=False)

    def _attention(self, pooled_BD: Tensor, contexts: list[tuple[Tensor, Tensor]], embedding_KE: Tensor) -> Tensor:
        hidden_BKW = self._layers(self.queries(pooled_BD, embedding_KE), contexts[:-1])
        last = self.layers[-1].crossattention
        query_BHKA = last.project_query(hidden_BKW, self.num_heads)
        attention_BKN = last.weights(query_BHKA, contexts[-1][0])[:, :, 1:]
        return attention_BKN / attention_BKN.sum(-1, keepdim=True).clamp_min(1e-12)


class DescribedTagDecoder(TagDecoder):
    """A tag is a set of descriptions, embedding_KJE; every image weighs them anew (RAM++, arXiv 2310.15200, 3.3).

    A new tag may come with one text embedding, as embedding_KE: it then has that alone.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def checked(self, embedding_KE: Tensor) -> Tensor:
        width = self.query_proj.in_features
        if embedding_KE.ndim not in (2, 3) or embedding_KE.shape[-1] != width or embedding_KE.numel() == 0:
            raise ValueError(
                f"tag embeddings must be (tags, descriptions, {width}) or (tags, {width}) with at least 1 tag, "
                f"got {tuple(embedding_KE.shape)}"
            )
        return embedding_KE

    def from_text(self, embedding_KE: Tensor, own_KE: Tensor) -> Tensor:
        # The weights of equal descriptions sum to 1: a text that is repeated counts as it does alone.
        return embedding_KE if own_KE.ndim == 2 else embedding_KE[:, None].expand(-1, own_KE.shape[1], -1)

    def queries(self, pooled_BD: Tensor, embedding_KE: Tensor) -> Tensor:
        if embedding_KE.ndim == 2:
            return super().queries(pooled_BD, embedding_KE)
        image_BE = self.log_scale.exp() * F.normalize(pooled_BD, dim=-1)
        logits_BKJ = (image_BE @ embedding_KE.flatten(0, 1).T).unflatten(1, embedding_KE.shape[:2])
        # One product a tag over all images, instead of one an image over all tags: the descriptions are read once.
        mixed_KBE = logits_BKJ.softmax(-1).transpose(0, 1) @ embedding_KE
        return F.relu(self.query_proj(mixed_KBE.transpose(0, 1)))


class LearnedTagDecoder(TagDecoder):
    """A tag is learned outright: its query, its own output weights and its own bias, one row of 2 W + 1 (Tag2Text).

    So subsets and chunks are rows, as with any decoder; there is no text that a new tag's row could be made of.
    """

    learns_tags = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.query_proj = nn.Identity()  # type: ignore[assignment]
        self.fc = nn.Identity()  # type: ignore[assignment]
        self.width = int(options["width"])

    @staticmethod
    def initial_tags(num_tags: int, width: int, initial_score: float, generator: torch.Generator) -> Tensor:
        """Rows to train: queries of unit variance, as those of texts; output weights as of a linear layer."""
        query_KW = torch.randn(num_tags, width, generator=generator)
        weight_KW = (2 * torch.rand(num_tags, width, generator=generator) - 1) / width**0.5
        bias_K1 = torch.full((num_tags, 1), _logit(initial_score))
        return torch.cat([query_KW, weight_KW, bias_K1], dim=1)

    def checked(self, embedding_KE: Tensor) -> Tensor:
        width = 2 * self.width + 1
        if embedding_KE.ndim != 2 or embedding_KE.shape[1] != width or len(embedding_KE) == 0:
            raise ValueError(
                f"learned tags must be (tags, {width}): query, output weights and bias, got {tuple(embedding_KE.shape)}"
            )
        return embedding_KE

    def from_text(self, embedding_KE: Tensor, own_KE: Tensor) -> Tensor:
        raise ValueError("the tags of this model are learned, not read from their names: it can score no new ones")

    def queries(self, pooled_BD: Tensor, embedding_KE: Tensor) -> Tensor:
        return embedding_KE[None, :, : self.width]

    def _read(self, hidden_BKW: Tensor, embedding_KE: Tensor) -> Tensor:
        weight_KW, bias_K = embedding_KE[:, self.width : -1], embedding_KE[:, -1]
        return (hidden_BKW * weight_KW).sum(-1) + bias_K


def _logit(score: float) -> float:
    return math.log(score / (1 - score))
