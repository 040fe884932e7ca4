"""The precision of matrix products: what a device computes fast, and what a request for it becomes."""

from __future__ import annotations

import logging
from typing import Literal, cast

import torch

Precision = Literal["fp32", "bf16"]
PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

_logger = logging.getLogger("ram")


def available_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision to compute in: the requested one, or fp32 where the device has no bf16 instructions.

    PyTorch computes bf16 on every CPU. Without instructions for it a matrix product takes 2 to 4 times as long as in
    fp32 (docs/speed.md), so a request for bf16 then becomes fp32, with one line in the log of `ram`.

    Args:
        precision: `fp32` or `bf16`.
        device: the device that the model computes on.

    Raises:
        ValueError: `precision` is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if precision == "bf16" and not has_bf16(device):
        _logger.warning(
            "precision bf16 is not used: this %s has no bf16 instructions, and fp32 is faster without them", device.type
        )
        return "fp32"
    return cast(Precision, precision)


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16 matrix products, and PyTorch uses them.

    On a CPU: AVX512-BF16 or AMX (x86), or BF16 (ARM), and oneDNN not limited to an older instruction set.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not onednn_has_bf16():
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def onednn_has_bf16() -> bool:
    """Whether PyTorch's oneDNN accepts bf16 on this CPU."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported"):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
