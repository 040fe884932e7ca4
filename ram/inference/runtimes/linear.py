"""Linear layers whose weights lie as the processor reads them, with what follows them in the same pass."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram.model.precision import onednn_has_bf16

_USUAL_ROWS = 1152  # a product of so many rows decides how a weight is laid out; every other number works with it


class PackedLinear(nn.Module):
    """A linear layer, then GELU or the addition of a residual where that is wanted. For inference alone.

    On a CPU that oneDNN knows the weight is laid out once, instead of in every call, and what follows costs no pass over
    memory of its own. Elsewhere it is the plain layer.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.float32, *, gelu: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features, self.gelu = linear.in_features, linear.out_features, gelu
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype, copy=True)
        self.is_packed = can_pack(linear.weight.device, dtype)
        if self.is_packed:
            weight = linear.weight.detach().to(dtype)
            self.weight = _prepack(weight)
        else:
            self.weight = linear.weight.detach().to(dtype, copy=True)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """gelu(linear(x)), or linear(x) + residual, which has the shape of the output."""
        assert residual is None or not self.gelu
        if not self.is_packed:
            y = F.linear(x, self.weight, self.bias)
            return F.gelu(y) if self.gelu else y if residual is None else y + residual
        operator: Any = torch.ops.mkldnn._linear_pointwise
        if residual is not None:
            return operator.binary(x, residual, self.weight, self.bias, "add")
        return operator(x, self.weight, self.bias, "gelu" if self.gelu else "none", [], "none" if self.gelu else "")


def _prepack(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight, _USUAL_ROWS)


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN can prepack weights of this dtype. Only on x86-64 Linux; elsewhere `F.linear` is used."""
    return (
        device.type == "cpu"
        and sys.platform == "linux"
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and (dtype != torch.bfloat16 or onednn_has_bf16())
    )


def packed(modules: Iterable[nn.Module], dtype: torch.dtype) -> dict[int, nn.Module]:
    """A packed layer for each linear one among the modules, by the identity of the latter: `memo` of `copy.deepcopy`."""
    return {id(module): PackedLinear(module, dtype) for module in modules if type(module) is nn.Linear}
