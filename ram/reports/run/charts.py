"""Line charts as inline SVG that takes its colors from the page, and so follows its light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import pandas as pd

WIDTH, HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 26
_MAX_POINTS = 150

Points = Sequence[tuple[float, float]]


def line_chart(series: Mapping[str, Points], x_label: str) -> str:
    """An SVG of one line a series, colored by the CSS class `line-<name>`; empty where no point is finite."""
    series = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in series.items()}
    everything = [point for points in series.values() for point in points]
    if not everything:
        return ""
    x_ticks = ticks(0.0, max(x for x, _ in everything))
    y_ticks = ticks(min(0.0, min(y for _, y in everything)), max(y for _, y in everything))
    x_span, y_span = (t[-1] - t[0] for t in (x_ticks, y_ticks))

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - x_ticks[0]) / x_span * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - (y - y_ticks[0]) / y_span * (HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="chart">']
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in x_ticks[1:]:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{_short(tick)}</text>')
    parts.append(f'<text x="{_LEFT}" y="{HEIGHT - 8}">{html.escape(x_label)}</text>')
    for name, points in series.items():
        if points:
            parts.append(_line(name, [place(x, y) for x, y in thinned(points)]))
    return "".join([*parts, "</svg>"])


def _line(name: str, places: Points) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    title = html.escape(name)
    return (
        f'<g class="line-{title}"><title>{title}</title><polyline points="{path}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/></g>'
    )


def ticks(low: float, high: float) -> list[float]:
    """3 to 7 round numbers from at most `low` to at least `high`."""
    span = high - low if high > low else abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if span / (step * m) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(max(high, low + span) / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def thinned(points: Points) -> Points:
    """At most `_MAX_POINTS` of them: means of neighbors, and the last one as it is."""
    if len(points) <= _MAX_POINTS:
        return points
    size = -(-len(points) // (_MAX_POINTS - 1))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return [*means, points[-1]]


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def training_charts(curves: Mapping[str, pd.DataFrame], max_charts: int = 8) -> list[dict[str, str]]:
    """{"title", "svg"} a metric, a line a model: metrics on dev first, then the losses."""
    frames = [frame.assign(model=model) for model, frame in curves.items() if len(frame)]
    if not frames:
        return []
    rows = pd.concat(frames, ignore_index=True)
    charts = []
    for split in ("dev", "train"):
        own = rows[rows["split"] == split]
        for metric in own["metric"].drop_duplicates():
            chosen = own[own["metric"] == metric].groupby("model", sort=False)
            series = {
                str(model): list(zip(g["step"].astype(float), g["value"].astype(float), strict=True))
                for model, g in chosen
            }
            if svg := line_chart(series, "step"):
                charts.append({"title": f"{metric} ({split})", "svg": svg})
    return charts[:max_charts]
