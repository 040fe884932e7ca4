"""Numeric precision of matrix products, and the fallback from bf16 to fp32."""

from __future__ import annotations

import logging
import os
from typing import Literal, cast

import torch

Precision = Literal["fp32", "bf16"]
PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

# Values of ONEDNN_MAX_CPU_ISA under which oneDNN has no bf16 instructions, whatever the CPU has.
_ISA_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")

_logger = logging.getLogger("ram")


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision to compute in: the requested one, or fp32 where bf16 would be slower.

    PyTorch computes bf16 on every CPU. Without instructions for it a matrix product takes longer than in fp32, so a
    request for bf16 becomes fp32, and one warning is logged.

    Args:
        precision: `fp32` or `bf16`.
        device: the device that the model computes on.

    Raises:
        ValueError: `precision` is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if precision == "bf16" and not has_bf16(device):
        warn_fallback(device)
        return "fp32"
    return cast(Precision, precision)


def warn_fallback(device: torch.device) -> None:
    """Log that fp32 is used although bf16 was requested."""
    _logger.warning("precision bf16 is not used: PyTorch has no fast bf16 on this %s; using fp32", device.type)


def has_bf16(device: torch.device) -> bool:
    """Return whether PyTorch computes bf16 matrix products on the device with instructions for them.

    On a CPU these are AVX512-BF16 or AMX (x86), or BF16 (ARM), where oneDNN is not limited to an older instruction set.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not onednn_has_bf16():
        return False
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    capabilities = torch.cpu.get_capabilities()
    return limit.upper() not in _ISA_WITHOUT_BF16 and any(
        capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")
    )


def onednn_has_bf16() -> bool:
    """Return whether PyTorch's oneDNN accepts bf16 on this CPU, with or without instructions for it."""
    backend = torch.backends.mkldnn
    if not (backend.is_available() and backend.enabled) or not hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported"):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
