"""Relative position tables of windowed attention for windows of another size: 224 pixels before, 384 after.

A table has a row for every distance between two places of a window. Near distances matter most, so the known distances
are spread out to the new range by a geometric progression, dense in the middle, and a cubic spline through them is read
at every whole distance. That is how the published RAM code fits Swin (it took the idea from BEiT), by a function that
SciPy has removed since; timm has the same grid and reads it linearly.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

# S, T distances from -(window - 1) to window - 1, before and after; A attention heads


def resized_table(table_SA: Tensor, window: tuple[int, int], new_window: tuple[int, int]) -> Tensor:
    """The table, (rows of distances × columns of distances, heads), for the new window, in the same type."""
    sizes = [2 * side - 1 for side in window]
    by_rows, by_columns = (torch.from_numpy(_spline_TS(old, new)) for old, new in zip(window, new_window, strict=True))
    grid = table_SA.detach().double().cpu().unflatten(0, (sizes[0], sizes[1]))
    read = torch.einsum("ts,sua,vu->tva", by_rows, grid, by_columns)
    return read.flatten(0, 1).to(table_SA)


def set_input_size(backbone: nn.Module, image_size: int) -> None:
    """Fit a timm backbone to another input size; its relative position tables by `resized_table`."""
    before = {
        name: (module.window_size, module.relative_position_bias_table)
        for name, module in backbone.named_modules()
        if isinstance(getattr(module, "relative_position_bias_table", None), nn.Parameter)
    }
    backbone.set_input_size(img_size=(image_size, image_size))  # type: ignore[operator]
    for name, (window, table) in before.items():
        module = backbone.get_submodule(name)
        if module.window_size != window and not table.is_meta:
            with torch.no_grad():
                module.relative_position_bias_table.copy_(  # type: ignore[operator]
                    resized_table(table, window, module.window_size)  # type: ignore[arg-type]
                )


def _spline_TS(window: int, new_window: int) -> np.ndarray:
    """Weights of the old distances' values in the spline's value at each new distance."""
    from scipy.interpolate import make_interp_spline

    known_S = _spread(window, new_window)
    wanted_T = np.arange(1 - new_window, new_window, dtype=np.float64)
    degree = min(3, len(known_S) - 1)
    # Beyond the outermost known distance, which rounding may leave just inside the range, its value holds.
    return make_interp_spline(known_S, np.eye(len(known_S)), k=degree)(np.clip(wanted_T, known_S[0], known_S[-1]))


def _spread(window: int, new_window: int) -> np.ndarray:
    """Where the old distances lie among the new ones: 0, ±1, ±(1 + q), ±(1 + q + q²), …, ±(new_window - 1)."""
    num_steps, reach = window - 1, new_window - 1
    if num_steps == 0:
        return np.zeros(1)
    low, high = 1e-3, float(reach + 1)
    for _ in range(200):
        ratio = (low + high) / 2
        low, high = (low, ratio) if (ratio ** np.arange(num_steps)).sum() > reach else (ratio, high)
    sums = np.cumsum(ratio ** np.arange(num_steps))
    return np.concatenate([-sums[::-1], [0.0], sums])
