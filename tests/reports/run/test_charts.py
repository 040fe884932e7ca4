from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ram.reports.run.charts import line_chart, thinned, ticks, training_charts

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 4))


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
@example(250_000.0, -0.0001)
def test_ticks_span_the_values_in_few_round_steps(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    unseen = 1e-6 * (found[1] - found[0])  # far less than a pixel of the axis
    assert found[0] <= low + unseen
    assert found[-1] >= high - unseen
    assert np.ptp(np.diff(found)) <= 1e-6 * max(1.0, abs(found[1] - found[0]))


def test_a_chart_is_well_formed_and_has_a_line_a_series() -> None:
    svg = line_chart({"preliminary": [(0, 1.0), (10, 0.5)], "retrained": [(0, float("nan")), (5, 0.2)]}, "step")
    root = ElementTree.fromstring(svg)
    assert [g.get("class") for g in root.findall("g")] == ["line-preliminary", "line-retrained"]
    for line in root.iter("polyline"):
        for pair in line.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 420
            assert 0 <= y <= 230


def test_nothing_finite_gives_no_chart() -> None:
    assert line_chart({"a": [(0, float("nan"))], "b": []}, "step") == ""


@pytest.mark.parametrize("num", [1, 149, 150, 151, 1000, 12345])
def test_long_lines_are_thinned_and_keep_their_end(num: int) -> None:
    points = [(float(i), float(i % 7)) for i in range(num)]
    found = thinned(points)
    assert len(found) <= 150
    assert found[-1] == points[-1]


def test_metrics_on_dev_come_before_losses() -> None:
    curve = pd.DataFrame(
        {"step": [1, 1], "epoch": [1, 1], "split": ["train", "dev"], "metric": ["loss", "mAP/x"], "value": [2.0, 0.5]}
    )
    assert [chart["title"] for chart in training_charts({"preliminary": curve})] == ["mAP/x (dev)", "loss (train)"]
    assert training_charts({}) == []
