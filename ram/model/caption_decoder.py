"""Tags and image tokens -> caption: a tag encoder that looks at the image, then a causal decoder (RAM, section 3.3).

The first layers of the tag encoder use the cross-attention and feed-forward weights of the tag decoder: the
very modules, handed in with every call, so that a checkpoint holds them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram.model.generation import beam_search, nucleus_sample
from ram.model.layers import LAYER_NORM_EPS, Attention, FeedForward, causal_mask
from ram.model.tag_decoder import TagDecoder
from ram.model.vocabulary import DECODE, ENCODE, WordPieces, clean_caption

# B images, N image tokens, D token width, M pieces of the tags, L pieces of the caption, V vocabulary, W width

Cache = list[tuple[Tensor, Tensor]]  # keys and values of every layer's self-attention


class Embeddings(nn.Module):
    """Word piece plus position, normalized."""

    def __init__(self, vocabulary_size: int, max_tokens: int, width: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary_size, width)
        self.position_embeddings = nn.Embedding(max_tokens, width)
        self.LayerNorm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        for table in (self.word_embeddings, self.position_embeddings):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids_BL: Tensor, start: int = 0) -> Tensor:
        positions_L = torch.arange(start, start + ids_BL.shape[1], device=ids_BL.device)
        return self.dropout(self.LayerNorm(self.word_embeddings(ids_BL) + self.position_embeddings(positions_L)))


class Layer(nn.Module):
    """Self-attention; and cross-attention and feed-forward of its own, unless it shares the tag decoder's."""

    crossattention: Attention
    feed_forward: FeedForward

    def __init__(self, width: int, context_width: int | None, ffn_ratio: float, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.attention = Attention(width, width, dropout, pre_norm)
        if context_width is not None:
            self.crossattention = Attention(width, context_width, dropout, pre_norm)
            self.feed_forward = FeedForward(width, ffn_ratio, dropout, pre_norm)


class CaptionBranch(nn.Module):
    """The loss of captions, and the captions themselves."""

    def __init__(
        self,
        *,
        word_pieces: WordPieces,
        token_width: int,
        width: int,
        ffn_ratio: float,
        pre_norm: bool,
        num_tag_encoder_layers: int,
        num_shared_layers: int,
        num_caption_layers: int,
        num_heads: int,
        max_tokens: int,
        dropout: float,
        label_smoothing: float,
    ) -> None:
        super().__init__()
        self.word_pieces = word_pieces
        self.num_heads = num_heads
        self.max_tokens = max_tokens
        self.label_smoothing = label_smoothing
        self.tag_embeddings = Embeddings(word_pieces.size, max_tokens, width, dropout)
        self.tag_encoder = nn.ModuleList(
            Layer(width, None if i < num_shared_layers else token_width, ffn_ratio, dropout, pre_norm)
            for i in range(num_tag_encoder_layers)
        )
        self.tag_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS) if pre_norm else nn.Identity()
        self.caption_embeddings = Embeddings(word_pieces.size, max_tokens, width, dropout)
        self.text_decoder = nn.ModuleList(
            Layer(width, width, ffn_ratio, dropout, pre_norm) for _ in range(num_caption_layers)
        )
        self.caption_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS) if pre_norm else nn.Identity()
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=LAYER_NORM_EPS))
        self.vocabulary_bias_V = nn.Parameter(torch.zeros(word_pieces.size))

    def loss(
        self,
        tokens_BND: Tensor,
        tag_texts: Sequence[Sequence[str]],
        captions: Sequence[str],
        tag_decoder: TagDecoder,
    ) -> Tensor:
        """Mean label-smoothed cross-entropy, nats a word piece of the captions, their ends included."""
        if not len(tokens_BND) == len(tag_texts) == len(captions):
            raise ValueError(f"got {len(tokens_BND)} images, {len(tag_texts)} tag lists, {len(captions)} captions")
        context_BMW, mask_BM = self.encode_tags(tokens_BND, tag_texts, tag_decoder)
        cleaned = [clean_caption(caption) for caption in captions]
        ids_BL, _ = self.word_pieces.encode(cleaned, DECODE, self.max_tokens)
        ids_BL = ids_BL.to(tokens_BND.device)
        logits_BLV, _ = self.decode(ids_BL[:, :-1], self.project_context(context_BMW), mask_BM)
        return F.cross_entropy(
            logits_BLV.flatten(0, 1).float(),
            ids_BL[:, 1:].flatten(),
            ignore_index=self.word_pieces.pad_id,
            label_smoothing=self.label_smoothing,
        )

    def encode_tags(
        self, tokens_BND: Tensor, tag_texts: Sequence[Sequence[str]], tag_decoder: TagDecoder
    ) -> tuple[Tensor, Tensor]:
        """context_BMW of the tags, joined by " | " in the order given, having looked at the image; and its mask_BM."""
        joined = [" | ".join(texts) for texts in tag_texts]
        ids_BM, mask_BM = self.word_pieces.encode(joined, ENCODE, self.max_tokens)
        ids_BM, mask_BM = ids_BM.to(tokens_BND.device), mask_BM.to(tokens_BND.device)
        hidden_BMW = self.tag_embeddings(ids_BM)
        for i, layer in enumerate(_layers(self.tag_encoder)):
            context = _context(layer, hidden_BMW)
            hidden_BMW = layer.attention(hidden_BMW, context, self.num_heads, mask_BM[:, None, None])
            owner = layer if hasattr(layer, "crossattention") else tag_decoder.layers[i]
            hidden_BMW = owner.crossattention(hidden_BMW, tokens_BND, self.num_heads)
            hidden_BMW = owner.feed_forward(hidden_BMW)
        return self.tag_norm(hidden_BMW), mask_BM

    def project_context(self, context_BMW: Tensor) -> Cache:
        """Keys and values of the tags for every decoder layer: the same at every step of a generation."""
        return [
            layer.crossattention.project_context(context_BMW, self.num_heads) for layer in _layers(self.text_decoder)
        ]

    def decode(
        self, ids_BL: Tensor, contexts: Cache, mask_BM: Tensor, cache: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """logits_BLV of the piece after each; and the cache with which the next call gives just what follows."""
        start = cache[0][0].shape[-2] if cache else 0
        hidden_BLW = self.caption_embeddings(ids_BL, start)
        causal_LL = causal_mask(ids_BL.shape[1], start + ids_BL.shape[1], ids_BL.device)
        grown: Cache = []
        for i, layer in enumerate(_layers(self.text_decoder)):
            own, cross = layer.attention, layer.crossattention
            key, value = own.project_context(_context(layer, hidden_BLW), self.num_heads)
            if cache:
                key, value = torch.cat([cache[i][0], key], -2), torch.cat([cache[i][1], value], -2)
            grown.append((key, value))
            query = own.project_query(hidden_BLW, self.num_heads)
            hidden_BLW = own.attend(hidden_BLW, query, key, value, causal_LL)
            query = cross.project_query(hidden_BLW, self.num_heads)
            hidden_BLW = cross.attend(hidden_BLW, query, *contexts[i], mask_BM[:, None, None])
            hidden_BLW = layer.feed_forward(hidden_BLW)
        tied_VW = self.caption_embeddings.word_embeddings.weight
        return F.linear(self.transform(self.caption_norm(hidden_BLW)), tied_VW, self.vocabulary_bias_V), grown

    def generate(
        self,
        tokens_BND: Tensor,
        tag_texts: Sequence[Sequence[str]],
        tag_decoder: TagDecoder,
        *,
        num_beams: int,
        min_tokens: int,
        length_penalty: float,
        top_p: float | None = None,
        temperature: float = 1.0,
        seeds: Sequence[int] = (),
    ) -> tuple[list[str], list[float]]:
        """Captions of at least `min_tokens` pieces, and the natural logarithm of their probability.

        By beam search; with `top_p` drawn from the nucleus instead, each image's by its own seed.
        """
        if top_p is not None and (num_beams != 1 or len(seeds) != len(tokens_BND)):
            raise ValueError(
                f"sampling takes 1 beam and a seed per image, got {num_beams} beams, {len(seeds)} seeds for "
                f"{len(tokens_BND)} images"
            )
        context_BMW, mask_BM = self.encode_tags(tokens_BND, tag_texts, tag_decoder)
        mask_RM = mask_BM.repeat_interleave(num_beams, 0)
        contexts = self.project_context(context_BMW.repeat_interleave(num_beams, 0))

        def step(ids_RL: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
            logits_RLV, grown = self.decode(ids_RL[:, -1:], contexts, mask_RM, cache)
            log_probability_RV = logits_RLV[:, -1].float().log_softmax(-1)
            log_probability_RV[:, self.word_pieces.unwritable_ids] = -torch.inf
            return log_probability_RV, grown

        places = {
            "start_id": self.word_pieces.start_id(DECODE),
            "end_id": self.word_pieces.end_id,
            "max_tokens": self.max_tokens,
            "min_tokens": min_tokens,
        }
        device, num = tokens_BND.device, len(tokens_BND)
        if top_p is None:
            ids, log_probabilities = beam_search(
                step, batch_size=num, num_beams=num_beams, length_penalty=length_penalty, device=device, **places
            )
        else:
            ids, log_probabilities = nucleus_sample(
                step, seeds=seeds, top_p=top_p, temperature=temperature, device=device, **places
            )
        return [self.word_pieces.decode(row) for row in ids], log_probabilities


def _layers(modules: nn.ModuleList) -> list[Layer]:
    return cast(list[Layer], list(modules))


def _context(layer: Layer, hidden: Tensor) -> Tensor:
    """What self-attention looks at: its input, normalized where its queries are."""
    attention = layer.attention
    return attention.LayerNorm(hidden) if attention.pre_norm else hidden
