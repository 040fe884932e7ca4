"""The losses of one step."""

# B images of this process, N image tokens, T tags of the step, D token width, E text embedding width

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram.model.precision import has_bf16, warn_fallback
from ram.model.ram import RAM
from ram.model.vocabulary import DECODE, clean_caption
from ram.training.batches import Batch
from ram.training.distillation import PairedImageEncoder, make_paired_encoder
from ram.training.distributed import Processes
from ram.training.losses import alignment_loss, asymmetric_loss, balanced
from ram.training.params import TrainingParams


class TrainingStep(nn.Module):
    """Batch -> losses, such that their mean over the processes is the loss of the whole batch."""

    def __init__(self, model: RAM, params: TrainingParams, processes: Processes, *, cached: bool) -> None:
        super().__init__()
        self.model, self.params = model, params
        model.image_encoder.set_recompute(params.gradient_checkpointing in ("backbone", "all"))
        model.tag_decoder.recompute = params.gradient_checkpointing in ("tag_decoder", "all")
        self._processes, self._cached = processes, cached
        self._bf16 = params.precision == "bf16" and _all_have_bf16(processes)
        self._paired: PairedImageEncoder | None = None
        if params.loss.distillation_weight:
            self._paired = make_paired_encoder(model.params, model.preprocess, cached=cached)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to go down on, and by name every loss of the whole batch (over all processes, no gradient)."""
        loss, world_size = self.params.loss, self._processes.world_size
        with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=self._bf16):
            tokens_BND = self.model.tail(batch.inputs) if self._cached else self.model.encode(batch.inputs)
            embedding_TE = self._embeddings(batch)
            logits_BT = self.model.tag_logits(tokens_BND, embedding_TE)
            caption = self._caption_loss(tokens_BND, batch)
            others = self._distillation(tokens_BND, batch) | self._alignment(tokens_BND, batch)
        tag = asymmetric_loss(
            logits_BT,
            batch.targets_BT,
            gamma_neg=loss.gamma_neg,
            gamma_pos=loss.gamma_pos,
            clip=loss.clip,
            known_BK=batch.known_BT,
            reduction="sum",
        )
        tag = tag / {"sum": 1, "image": batch.num_images, "mean": max(batch.num_known, 1)}[loss.reduction]
        shares = {"tag": tag, **caption, **others}
        values = dict(zip(shares, self._processes.total(torch.stack(list(shares.values()))), strict=True))
        if loss.balance and batch.num_captions:
            shares["tag"] = balanced(tag, values["caption"], values["tag"])
        weights = {
            "tag": 1.0,
            "caption": loss.caption_weight,
            "distillation": loss.distillation_weight,
            "alignment": loss.alignment_weight,
        }
        total = torch.stack([weights[name] * share for name, share in shares.items()]).sum()
        return total * world_size, values

    def _embeddings(self, batch: Batch) -> Tensor:
        """Embeddings of the step's tags, disturbed as the parameters say; on every process alike. Learned tags are not."""
        embedding_TE = self.model.tag_embedding_KE[batch.tag_ids]
        noise, dropout = self.params.embedding_noise, self.params.embedding_dropout
        if self.model.tag_decoder.learns_tags or (not noise and not dropout):
            return embedding_TE
        generator = torch.Generator().manual_seed(batch.seed)
        if noise:
            direction = torch.randn(embedding_TE.shape, generator=generator) / embedding_TE.shape[1] ** 0.5
            embedding_TE = F.normalize(embedding_TE + noise * direction.to(embedding_TE), dim=1)
        if dropout:
            kept = torch.rand(embedding_TE.shape, generator=generator) >= dropout
            embedding_TE = embedding_TE * kept.to(embedding_TE) / (1 - dropout)
        return embedding_TE

    def _caption_loss(self, tokens_BND: Tensor, batch: Batch) -> dict[str, Tensor]:
        """This process's share of the mean over the word pieces of all processes' captions."""
        if not self.params.loss.caption_weight or not batch.num_captions:
            return {}
        num_pieces = torch.tensor(self._num_pieces(batch.captions), dtype=torch.float32, device=tokens_BND.device)
        total = self._processes.total(num_pieces)
        if not batch.captions:
            return {"caption": self._untouched_captions(tokens_BND)}
        mean = self.model.caption_loss(tokens_BND[batch.captioned], batch.tag_texts, batch.captions)
        return {"caption": mean.float() * num_pieces / total}

    def _untouched_captions(self, tokens_BND: Tensor) -> Tensor:
        """A loss of 0 where the captions are other processes': of 0 gradients, for who averages cut ones waits for all."""
        zero = tokens_BND.new_zeros((), dtype=torch.float32)
        if not self._processes.sharded or self.model.caption_branch is None:
            return zero
        return zero + sum(p.sum() for p in self.model.caption_branch.parameters() if p.requires_grad) * 0

    def _num_pieces(self, captions: list[str]) -> int:
        """Word pieces that the caption loss of these captions is a mean over; 1 where it is shared with nobody."""
        branch = self.model.caption_branch
        if self._processes.world_size == 1 or branch is None:
            return 1
        if not captions:
            return 0
        _, mask_BL = branch.word_pieces.encode([clean_caption(c) for c in captions], DECODE, branch.max_tokens)
        return int(mask_BL.sum()) - len(captions)

    def _distillation(self, tokens_BND: Tensor, batch: Batch) -> dict[str, Tensor]:
        losses = {}
        share = len(batch.inputs) / batch.num_images
        if self.params.loss.distillation_weight:
            assert self._paired is not None
            losses["distillation"] = self.model.distillation_loss(tokens_BND, self._paired(batch.inputs)) * share
        return losses

    def _alignment(self, tokens_BND: Tensor, batch: Batch) -> dict[str, Tensor]:
        if not self.params.loss.alignment_weight or batch.caption_embedding_CE is None:
            return {}
        loss = tokens_BND.new_zeros((), dtype=torch.float32)
        if len(batch.captioned):
            aligned_BE = self.model.aligned(tokens_BND[batch.captioned])
            loss = alignment_loss(aligned_BE, batch.caption_embedding_CE, batch.caption_of)
        return {"alignment": loss * len(batch.captions) / batch.num_captions}


def _all_have_bf16(processes: Processes) -> bool:
    """Whether every process has bf16: they train in one precision. The main one logs where it is fp32."""
    (is_missing,) = processes.any(not has_bf16(processes.device))
    if is_missing and processes.is_main:
        warn_fallback(processes.device)
    return not is_missing


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on `device`."""
    if device.type == "cpu":
        return batch
    moved = {name: value.to(device, non_blocking=True) for name, value in vars(batch).items() if torch.is_tensor(value)}
    return Batch(**{**vars(batch), **moved})
