"""The losses that are not the model's own: the tag loss of RAM, its balance against the caption loss, the alignment."""

# B images, K tags, C captions, E text embedding width

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class LossParams:
    """How the losses of a step are computed and weighed."""

    gamma_neg: float = 2.0  # RAM: 7
    gamma_pos: float = 0.0
    clip: float = 0.05  # a negative whose score is below this costs nothing
    reduction: str = "mean"  # over the labels of the step; "image": an image's labels are summed; RAM: "sum", of all
    balance: bool = False  # RAM: the tag loss is rescaled every step to the value of the caption loss
    caption_weight: float = 0.0  # 0 leaves the caption branch out of this stage
    caption_share: float = 1.0  # share of a batch's images that are captioned
    caption_every: int = 1  # caption in one step of so many
    distillation_weight: float = 0.0  # L1 to the paired image encoder's embedding of the image
    alignment_weight: float = 0.0  # each image against the captions of its batch; wants model.text_alignment

    def __post_init__(self) -> None:
        for name in ("gamma_neg", "gamma_pos", "caption_weight", "distillation_weight", "alignment_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.clip < 1:
            raise ValueError(f"clip must be in [0, 1), got {self.clip}")
        if self.reduction not in ("mean", "image", "sum"):
            raise ValueError(f"reduction must be mean, image or sum, got {self.reduction!r}")
        if not 0 < self.caption_share <= 1:
            raise ValueError(f"caption_share must be in (0, 1], got {self.caption_share}; 0 is caption_weight: 0")
        if self.caption_every < 1:
            raise ValueError(f"caption_every must be at least 1, got {self.caption_every}")
        if self.balance and not self.caption_weight:
            raise ValueError("balance rescales the tag loss to the caption loss: set caption_weight above 0")


def asymmetric_loss(
    logits_BK: Tensor,
    targets_BK: Tensor,
    *,
    gamma_neg: float,
    gamma_pos: float,
    clip: float,
    known_BK: Tensor | None = None,
    weight_K: Tensor | None = None,
    reduction: str = "sum",
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021, eqs. 4–6): a scalar of at least 0, in float32.

    With p = sigmoid(logit) and p_m = max(p - clip, 0) a label costs
    -[ t (1-p)^gamma_pos log p  +  (1-t) p_m^gamma_neg log(1-p_m) ].
    The focal weights (the powers) carry no gradient. Targets may be soft, in [0, 1]. `known_BK` False leaves a label
    out; `weight_K` weighs tags. "sum" adds all labels, as RAM does; "mean" divides by the number of known ones.
    """
    logits = logits_BK.float()
    targets = targets_BK.float()
    score = torch.sigmoid(logits)
    shifted = (score - clip).clamp(min=0)
    # Without the shift 1 - p rounds to 0 long before its logarithm is infinite.
    log_absent = torch.log1p(-shifted) if clip > 0 else F.logsigmoid(-logits)
    positive = targets * (1 - score.detach()).pow(gamma_pos) * F.logsigmoid(logits)
    negative = (1 - targets) * shifted.detach().pow(gamma_neg) * log_absent
    cost = -(positive + negative)
    if weight_K is not None:
        cost = cost * weight_K
    if known_BK is not None:
        cost = cost.masked_fill(~known_BK, 0.0)
    if reduction == "sum":
        return cost.sum()
    num_known = cost.numel() if known_BK is None else known_BK.sum().clamp(min=1)
    return cost.sum() / num_known


def balanced(loss: Tensor, reference: Tensor, value: Tensor | None = None) -> Tensor:
    """`loss` rescaled to the value of `reference`, its gradient's direction kept: loss / (loss / reference).detach().

    `value` is the value of `loss` to go by, where that is known over all processes and `loss` is one's share.
    """
    value = loss if value is None else value
    return loss * (reference.detach() / value.detach().clamp(min=1e-12))


ALIGNMENT_TEMPERATURE = 0.05


def alignment_loss(aligned_BE: Tensor, caption_CE: Tensor, caption_of_B: Tensor) -> Tensor:
    """Cross-entropy (nats, mean over images) of finding each image's caption among those of the batch.

    Softmax over cosine / temperature (InfoNCE, van den Oord et al. 2018, eq. 4), from images to captions: each
    process can do its own images against all captions, so their number changes nothing. Rows have length 1.
    """
    return F.cross_entropy(aligned_BE.float() @ caption_CE.float().T / ALIGNMENT_TEMPERATURE, caption_of_B)
