from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RectBivariateSpline

from ram.model.relative_position_bias import _spread, resized_table, set_input_size


def test_tables_of_224_pixels_are_read_at_384_by_a_bicubic_spline_on_the_geometric_grid() -> None:
    table = torch.randn(13 * 13, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # The grid in closed form: 1 + q + … + q^5 = 11.
    ratio = next(r.real for r in np.roots([1, 1, 1, 1, 1, -10]) if abs(r.imag) < 1e-9 and r.real > 0)
    sides = np.cumsum(ratio ** np.arange(6))
    known = np.concatenate([-sides[::-1], [0], sides])
    wanted = np.arange(-11.0, 12)
    for head in range(3):
        reference = RectBivariateSpline(known, known, table[:, head].reshape(13, 13).numpy(), kx=3, ky=3, s=0)
        given_values = resized_table(table, (7, 7), (12, 12))[:, head].reshape(23, 23).numpy()
        np.testing.assert_allclose(given_values, reference(wanted, wanted), atol=1e-6)


@given(st.integers(3, 12), st.integers(0, 12))
def test_known_distances_reach_to_the_end_of_the_new_window_by_one_ratio(window: int, growth: int) -> None:
    new_window = window + growth
    known = _spread(window, new_window)
    assert known[-1] == pytest.approx(new_window - 1, rel=1e-6)
    assert known[window - 1] == 0
    steps = np.diff(known[window - 1 :])
    np.testing.assert_allclose(steps[1:] / steps[:-1], np.full(window - 2, steps[1] / steps[0]), rtol=1e-6)


@given(st.integers(2, 9), st.integers(2, 9))
def test_the_same_window_keeps_its_table_and_sides_may_differ(height: int, width: int) -> None:
    table = torch.randn((2 * height - 1) * (2 * width - 1), 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(resized_table(table, (height, width), (height, width)), table, atol=1e-4, rtol=1e-4)
    constant = torch.ones_like(table)
    larger = resized_table(constant, (height, width), (height + 3, width + 1))
    torch.testing.assert_close(larger, torch.ones((2 * height + 5) * (2 * width + 1), 2))


def test_a_swin_of_another_input_size_gets_these_tables_in_every_block() -> None:
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, global_pool="")
    before = {name: p.detach().clone() for name, p in model.named_parameters() if name.endswith("bias_table")}
    set_input_size(model, 384)
    after = {name: p for name, p in model.named_parameters() if name.endswith("bias_table")}
    assert len(after) == 12
    assert all(p.requires_grad for p in after.values())
    for name, table in after.items():
        assert torch.equal(table, resized_table(before[name], (7, 7), (12, 12))), name
