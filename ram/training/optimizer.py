"""AdamW with its parameter groups, and the running average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ram.model.backbone import depths
from ram.training.fsdp import cut_like, local
from ram.training.params import OptimizerParams


def make_optimizer(model: nn.Module, params: OptimizerParams) -> torch.optim.AdamW:
    """AdamW over the parameters that may train; a group's `factor` is its learning rate relative to the peak.

    In the backbone it is backbone_factor · layer_decay^depth, with depth 0 in its head, 1 in its last block and so on
    down to the stem (Bao et al. 2021, BEiT).
    """
    depth = depths(model.image_encoder.backbone) if params.layer_decay != 1 else {}  # type: ignore[union-attr, arg-type]
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decayed = params.decay_vectors or parameter.ndim > 1
            factor = 1.0
            if ".backbone." in f".{name}":
                factor = params.backbone_factor * params.layer_decay ** depth.get(parameter, 0)
            groups.setdefault((factor, decayed), []).append(parameter)
    if not groups:
        raise ValueError("no parameter of the model may train; freeze fewer blocks")
    settings = [
        {
            "params": parameters,
            "factor": factor,
            "weight_decay": params.weight_decay if decayed else 0.0,
        }
        for (factor, decayed), parameters in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=params.learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["factor"]


class WeightAverage:
    """Exponential moving average of the weights that train; with decay 0 it is the weights themselves."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad} if decay else {}
        self.averages = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (from 0). Early steps weigh less: they are further from the end."""
        if self.averages:
            decay = min(self.decay, (1 + step) / (10 + step))
            averages, weights = ([local(t) for t in of.values()] for of in (self.averages, self._weights))
            torch._foreach_lerp_(averages, weights, 1 - decay)

    @torch.no_grad()
    def load(self, averages: dict[str, Tensor]) -> None:
        for name, average in self.averages.items():
            average.copy_(cut_like(averages[name], average))

    @torch.no_grad()
    def apply(self) -> None:
        """Give the model the averaged weights for good."""
        for name, weight in self._weights.items():
            weight.copy_(self.averages[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights inside the block, and its own again after it."""
        own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self._weights.items():
                    weight.copy_(own[name])
