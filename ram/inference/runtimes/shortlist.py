"""The tags of an image that are worth decoding, by one cheap product: a linear guess of every tag's logit.

Tags never interact, so a tag that is decoded has the logit that it has among all. What a shortlist may lose is a tag that
it leaves out and that would have reached its threshold: how often that is, `fit` measures on images that it did not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ram.inference.runtimes.decoder import PreparedTags
from ram.inference.runtimes.model import FastModel

# N images to fit on, B images, T image tokens, K tags, S of a shortlist, D token width, P penalties

SHORTLIST_FILE = "shortlist.safetensors"
_PENALTIES = tuple(
    10.0**power for power in range(-5, 3)
)  # in shares of the mean variance of the pooled tokens' directions
_HELD_OUT = 5  # every so many-th image judges
_MIN_IMAGES = 20
_FURTHEST = 30.0  # the logit of the scores 0 and 1


@dataclass(frozen=True)
class Shortlist:
    """logit ≈ pooled · weight + bias, of the tags of one model, and how far off that is."""

    weight_DK: Tensor
    bias_K: Tensor
    deviation_K: Tensor  # of what the guess leaves, on images that it did not see
    version: str  # of the model

    def rows(self, pooled_BD: Tensor, limits_K: Tensor, num_tags: int) -> Tensor:
        """rows_BS, ascending: of every image the tags that most probably reach their limits (logits)."""
        guess_BK = pooled_BD @ self.weight_DK + self.bias_K
        surplus_BK = (guess_BK - limits_K) / self.deviation_K
        return surplus_BK.topk(min(num_tags, surplus_BK.shape[1]), dim=1).indices.sort(dim=1).values

    def save(self, directory: Path) -> None:
        """Write it beside a model."""
        tensors = {"weight_DK": self.weight_DK, "bias_K": self.bias_K, "deviation_K": self.deviation_K}
        path = directory / SHORTLIST_FILE
        save_file({name: t.cpu().contiguous() for name, t in tensors.items()}, path, {"model": self.version})


def load_shortlist(directory: Path, version: str, device: torch.device) -> Shortlist:
    """The shortlist beside the model of this version. `ValueError` where there is none, or it is another model's."""
    path = directory / SHORTLIST_FILE
    remedy = f"ram shortlist {directory} --images FOLDER"
    if not path.is_file():
        raise ValueError(f"{directory} has no {SHORTLIST_FILE}; make it: {remedy}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            made_for = (file.metadata() or {}).get("model")
            tensors = {name: file.get_tensor(name).float() for name in ("weight_DK", "bias_K", "deviation_K")}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is broken or not whole: {error}; make it again: {remedy}") from error
    if made_for != version:
        raise ValueError(f"{path} is of model {made_for}, not of {version}; make it again: {remedy}")
    return Shortlist(**tensors, version=version)


def shortlisted_scores(
    fast: FastModel, shortlist: Shortlist, num_tags: int, tokens_BTD: Tensor, limits_K: np.ndarray
) -> np.ndarray:
    """scores_BK of the model's own tags, NaN where a tag is not decoded. `limits_K` are scores."""
    limits = torch.from_numpy(limits_K).to(tokens_BTD).logit().clamp(-_FURTHEST, _FURTHEST)
    rows_BS = shortlist.rows(tokens_BTD[:, 0], limits, num_tags)
    scores_BK = np.full((len(tokens_BTD), len(limits_K)), np.nan, np.float32)
    for i, rows_S in enumerate(rows_BS):
        tags: PreparedTags = fast.own_tags.rows(rows_S)
        scores_BK[i, rows_S.cpu().numpy()] = fast.scores(tokens_BTD[i : i + 1], tags)[0]
    return scores_BK


@dataclass(frozen=True, slots=True)
class Exactness:
    """What shortlists of `num_tags` keep, on images left out of the fit."""

    num_tags: int
    num_images: int
    said: float  # tags that an image is said to have, of all tags, on average
    kept: float  # share of these that the shortlist has; 1 where there are none
    equal: float  # share of all decisions that equal those of decoding every tag


def fit(
    pooled_ND: Tensor, logits_NK: Tensor, limits_K: Tensor, version: str, sizes: Sequence[int]
) -> tuple[Shortlist, list[Exactness]]:
    """The guess by ridge regression, its penalty the one that does best on every fifth image, and what it keeps.

    `limits_K` are logits. What is measured is a fit without the images that judge; what comes back is one of all.
    `ValueError` for fewer than 20 images.
    """
    if len(pooled_ND) < _MIN_IMAGES:
        raise ValueError(f"a shortlist wants at least {_MIN_IMAGES} images that can be read, got {len(pooled_ND)}")
    judges_N = torch.arange(len(pooled_ND)) % _HELD_OUT == 0
    candidates = [_ridge(pooled_ND[~judges_N], logits_NK[~judges_N], penalty) for penalty in _PENALTIES]
    left = [logits_NK[judges_N] - (pooled_ND[judges_N] @ weight + bias) for weight, bias in candidates]
    best = min(range(len(_PENALTIES)), key=lambda i: float(left[i].square().mean()))
    deviation_K = left[best].square().mean(0).sqrt()
    # Few images judge: what a single tag seems to be known better than the others is half chance.
    deviation_K = ((deviation_K.square() + deviation_K.square().mean()) / 2).sqrt().clamp_min(1e-6)
    judged = Shortlist(*candidates[best], deviation_K, version)
    measured = [_exactness(judged, pooled_ND[judges_N], logits_NK[judges_N], limits_K, size) for size in sizes]
    return Shortlist(*_ridge(pooled_ND, logits_NK, _PENALTIES[best]), deviation_K, version), measured


def _ridge(pooled_ND: Tensor, logits_NK: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """weight_DK and bias_K."""
    mean_D, mean_K = pooled_ND.mean(0), logits_NK.mean(0)
    left, values, right = torch.linalg.svd((pooled_ND - mean_D).double(), full_matrices=False)
    shrunk = values / (values.square() + penalty * values.square().mean()).clamp_min(1e-12)
    weight_DK = (right.T @ (shrunk[:, None] * (left.T @ (logits_NK - mean_K).double()))).float()
    return weight_DK, mean_K - mean_D @ weight_DK


def _exactness(shortlist: Shortlist, pooled_ND: Tensor, logits_NK: Tensor, limits_K: Tensor, size: int) -> Exactness:
    said_NK = logits_NK >= limits_K
    decoded_NK = torch.zeros_like(said_NK).scatter_(1, shortlist.rows(pooled_ND, limits_K, size), True)
    num_said, num_kept = int(said_NK.sum()), int((said_NK & decoded_NK).sum())
    return Exactness(
        size,
        len(said_NK),
        num_said / len(said_NK),
        num_kept / num_said if num_said else 1.0,
        1 - (num_said - num_kept) / said_NK.numel(),
    )
