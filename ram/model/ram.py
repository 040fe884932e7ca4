"""RAM: image encoder, tag decoder and caption branch, put together (Recognize Anything, arXiv 2306.03514, figure 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram.model.alignment import TextAlignment
from ram.model.caption_decoder import CaptionBranch
from ram.model.image_encoder import ImageEncoder
from ram.model.params import ModelParams
from ram.model.preprocess import Preprocess
from ram.model.tag_decoder import TagDecoder

# B images, N image tokens (the pooled one first), K tags, D token width, E text embedding width


class RAM(nn.Module):
    """Tags and captions from image tokens. `ram.model.build` chooses the parts by `params`."""

    tag_embedding_KE: (
        Tensor  # float32: the embeddings of the model's own tags; of one text each unless described or learned
    )

    def __init__(
        self,
        *,
        params: ModelParams,
        preprocess: Preprocess,
        image_encoder: ImageEncoder,
        tag_decoder: TagDecoder,
        caption_branch: CaptionBranch | None,
        text_alignment: TextAlignment | None,
        embedding_KE: Tensor,
    ) -> None:
        super().__init__()
        self.params = params
        self.preprocess = preprocess
        self.image_encoder = image_encoder
        self.tag_decoder = tag_decoder
        self.caption_branch = caption_branch
        self.text_alignment = text_alignment
        if tag_decoder.learns_tags:
            self.register_parameter("tag_embedding_KE", nn.Parameter(torch.empty(0)))
        else:
            self.register_buffer("tag_embedding_KE", torch.empty(0))
        self.set_tags(embedding_KE)

    @property
    def device(self) -> torch.device:
        return self.tag_embedding_KE.device

    @property
    def num_tags(self) -> int:
        return len(self.tag_embedding_KE)

    def set_tags(self, embedding_KE: Tensor) -> None:
        """Replace the model's own tags: row i is tag_id i. Any number of tags; the width must be the text encoder's.

        Learned tags are parameters: an optimizer made before knows the old ones alone.
        """
        embedding_KE = torch.as_tensor(embedding_KE, dtype=torch.float32)
        rows_KE = self._checked(embedding_KE).detach().clone().to(self.device)
        self.tag_embedding_KE = nn.Parameter(rows_KE) if self.tag_decoder.learns_tags else rows_KE

    def set_image_size(self, image_size: int) -> None:
        """Take images of another size from here on, as RAM does to fine-tune: 224 pixels before, 384 after."""
        self.image_encoder.set_image_size(image_size)
        self.params = dataclasses.replace(self.params, image_size=image_size)
        self.preprocess = dataclasses.replace(self.preprocess, image_size=image_size)

    def trunk(self, images_BCHW: Tensor) -> Tensor:
        """Features: the output of the frozen part of the image encoder; the images where nothing is frozen."""
        return self.image_encoder.trunk(images_BCHW)

    def tail(self, features: Tensor) -> Tensor:
        """tokens_BND, the pooled token first, from the trunk's features."""
        return self.image_encoder.tail(features)

    def encode(self, images_BCHW: Tensor) -> Tensor:
        """tokens_BND of images that `preprocess` made."""
        return self.tail(self.trunk(images_BCHW))

    def grid(self, features: Tensor) -> tuple[int, int]:
        """Height and width of the map that the spatial tokens of these features form, row by row."""
        return self.image_encoder.grid(features)

    def trunk_fingerprint(self) -> str:
        """16 hex digits: features of another fingerprint are no features of this model."""
        return self.image_encoder.trunk_fingerprint(self.params.image_encoder, self.preprocess)

    def tag_logits(self, tokens_BND: Tensor, embedding_KE: Tensor | None = None) -> Tensor:
        """logits_BK of the model's own tags, or of the tags with these text embeddings. Scores are their sigmoid."""
        embedding_KE = self.tag_embedding_KE if embedding_KE is None else self._checked(embedding_KE)
        logits_BK = self.tag_decoder(tokens_BND, embedding_KE)
        if self.text_alignment is not None:
            logits_BK = logits_BK + self.text_alignment.logits(tokens_BND[:, 0], embedding_KE)
        return logits_BK

    def aligned(self, tokens_BND: Tensor) -> Tensor:
        """aligned_BE: every image as a whole in the space of the text embeddings, of length 1."""
        if self.text_alignment is None:
            raise ValueError("this model is not aligned with texts; set model.text_alignment in params.yaml")
        return self.text_alignment(tokens_BND[:, 0])

    def tag_attention(self, tokens_BND: Tensor, tags: Tensor) -> Tensor:
        """attention_BKN over the spatial tokens: where each tag looks in the last layer; every row sums to 1.

        `tags` are text embeddings (K, E), or tag ids (K) of the model's own tags.
        """
        embedding_KE = tags if tags.is_floating_point() else self.tag_embedding_KE[tags]
        return self.tag_decoder.attention(tokens_BND, self._checked(embedding_KE))

    def caption_loss(self, tokens_BND: Tensor, tag_texts: Sequence[Sequence[str]], captions: Sequence[str]) -> Tensor:
        """Mean cross-entropy (nats a word piece, label smoothed) of the captions, given image tokens and tags."""
        return self._captions().loss(tokens_BND, tag_texts, captions, self.tag_decoder)

    @torch.no_grad()
    def generate_captions(
        self,
        tokens_BND: Tensor,
        tag_texts: Sequence[Sequence[str]],
        *,
        num_beams: int = 1,
        min_tokens: int = 0,
        length_penalty: float = 1.0,
        top_p: float | None = None,
        temperature: float = 1.0,
        seeds: Sequence[int] = (),
    ) -> tuple[list[str], list[float]]:
        """One caption per image and its log-probability (natural, summed over its word pieces and the end).

        By beam search; with `top_p` drawn from the likeliest pieces that hold that probability, by a seed per image.
        """
        return self._captions().generate(
            tokens_BND,
            tag_texts,
            self.tag_decoder,
            num_beams=num_beams,
            min_tokens=min_tokens,
            length_penalty=length_penalty,
            top_p=top_p,
            temperature=temperature,
            seeds=seeds,
        )

    def distillation_loss(self, tokens_BND: Tensor, paired_embedding_BD: Tensor) -> Tensor:
        """Mean L1 distance of the pooled token to the paired encoder's embedding, neither normalized (RAM's code)."""
        pooled_BD = tokens_BND[:, 0]
        if pooled_BD.shape != paired_embedding_BD.shape:
            raise ValueError(
                f"the paired encoder's embedding is {paired_embedding_BD.shape[-1]} wide and token_width "
                f"{pooled_BD.shape[-1]}; set model.token_width to the former"
            )
        return F.l1_loss(pooled_BD, paired_embedding_BD)

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the backbone that train: those behind the cut."""
        return (p for p in self.image_encoder.backbone.parameters() if p.requires_grad)

    def other_parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter that trains and is not the backbone's."""
        return (
            p for n, p in self.named_parameters() if p.requires_grad and not n.startswith("image_encoder.backbone.")
        )

    def _captions(self) -> CaptionBranch:
        if self.caption_branch is None:
            raise ValueError("this model has no caption branch; set model.caption in params.yaml and train again")
        return self.caption_branch

    def _checked(self, embedding_KE: Tensor | None) -> Tensor:
        assert embedding_KE is not None
        return self.tag_decoder.checked(embedding_KE)
