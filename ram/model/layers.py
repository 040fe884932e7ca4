"""The two blocks that the tag decoder and the caption branch are built of, named as BERT names them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# B images, Q queries, N keys, H heads, W width, A width of an attention head, D width of what is attended to

LAYER_NORM_EPS = 1e-12  # BERT's, which published checkpoints were trained with


class Attention(nn.Module):
    """Multi-head attention with its residual and layer norm, before (pre-norm) or after it (post-norm).

    The number of heads is an argument: the tag decoder and the tag encoder share these weights with 4 and 12 heads.
    """

    def __init__(self, width: int, context_width: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm

    def project_query(self, hidden_BQW: Tensor, num_heads: int) -> Tensor:
        """query_BHQA, from states that are normalized first under pre-norm."""
        return _split_heads(self.query(self.LayerNorm(hidden_BQW) if self.pre_norm else hidden_BQW), num_heads)

    def project_context(self, context_BND: Tensor, num_heads: int) -> tuple[Tensor, Tensor]:
        """key_BHNA and value_BHNA."""
        return _split_heads(self.key(context_BND), num_heads), _split_heads(self.value(context_BND), num_heads)

    def attend(
        self,
        hidden_BQW: Tensor,
        query_BHQA: Tensor,
        key_BHNA: Tensor,
        value_BHNA: Tensor,
        mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """hidden_BQW after attention. `hidden` and `query` may have a batch of 1 that stands for every image."""
        query_BHQA = query_BHQA.expand(key_BHNA.shape[0], -1, -1, -1)
        mixed_BHQA = F.scaled_dot_product_attention(
            query_BHQA,
            key_BHNA,
            value_BHNA,
            attn_mask=mask,
            dropout_p=self.dropout.p if self.training else 0.0,
            is_causal=is_causal,
        )
        hidden_BQW = hidden_BQW + self.dropout(self.dense(mixed_BHQA.transpose(1, 2).flatten(2)))
        return hidden_BQW if self.pre_norm else self.LayerNorm(hidden_BQW)

    def forward(self, hidden_BQW: Tensor, context_BND: Tensor, num_heads: int, mask: Tensor | None = None) -> Tensor:
        query_BHQA = self.project_query(hidden_BQW, num_heads)
        return self.attend(hidden_BQW, query_BHQA, *self.project_context(context_BND, num_heads), mask)

    def weights(self, query_BHQA: Tensor, key_BHNA: Tensor) -> Tensor:
        """attention_BQN: how much each query looks at each key, heads averaged; every row sums to 1."""
        logits_BHQN = query_BHQA @ key_BHNA.transpose(-1, -2) / query_BHQA.shape[-1] ** 0.5
        return logits_BHQN.softmax(-1).mean(1)


class FeedForward(nn.Module):
    """Linear, GELU, linear, with its residual and layer norm."""

    def __init__(self, width: int, ratio: float, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.intermediate = nn.Linear(width, round(width * ratio))
        self.output = nn.Linear(round(width * ratio), width)
        self.LayerNorm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.LayerNorm(hidden) if self.pre_norm else hidden
        hidden = hidden + self.dropout(self.output(F.gelu(self.intermediate(inner))))
        return hidden if self.pre_norm else self.LayerNorm(hidden)


def _split_heads(projected_BNW: Tensor, num_heads: int) -> Tensor:
    return projected_BNW.unflatten(-1, (num_heads, -1)).transpose(-2, -3)


def causal_mask(num_queries: int, num_keys: int, device: torch.device) -> Tensor:
    """mask_QN, true where query i (the last `num_queries` of the keys) may look at key j."""
    positions_Q = torch.arange(num_keys - num_queries, num_keys, device=device)
    return torch.arange(num_keys, device=device)[None, :] <= positions_Q[:, None]
