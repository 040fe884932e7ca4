"""The image as a whole against a text: one similarity in the space of the text encoder.

RAM leaves it out; RAM++ (arXiv 2310.15200) aligns images with texts through the tag decoder. Here the pooled image
token is projected into the space of the text embeddings, where a caption can teach it, and its similarity to a tag's
embedding is added to that tag's logit. It costs one product a tag, lets tags interact no more than before, and helps
most with names that were never trained on.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# B images, K tags or captions, D token width, E text embedding width

_INITIAL_SCALE = 10.0
_USUAL_COSINE = 0.2  # of two unrelated texts: where the added logit is about 0


class TextAlignment(nn.Module):
    """Projects pooled image tokens to text embeddings, and scores any text by its cosine to that."""

    def __init__(self, token_width: int, embedding_width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(token_width, embedding_width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(_INITIAL_SCALE)))

    def forward(self, pooled_BD: Tensor) -> Tensor:
        """aligned_BE, rows of length 1."""
        return F.normalize(self.proj(pooled_BD), dim=-1)

    def logits(self, pooled_BD: Tensor, embedding_KE: Tensor) -> Tensor:
        """logits_BK to add to the tag decoder's: scale × (cosine − the usual cosine of unrelated texts)."""
        return self.log_scale.exp() * (self(pooled_BD) @ embedding_KE.T - _USUAL_COSINE)
