"""Small images of numbers as inline SVG that takes its colors from the page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

SPARK_WIDTH, SPARK_HEIGHT = 130, 30
_PAD = 4


def sparkline(values: Sequence[float | None], passed: Sequence[bool], limits: Mapping[str, float] | None = None) -> str:
    """A line of the values over the runs, the oldest first; runs that failed are red dots, bounds in reach dashed lines."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = high - low or abs(high) or 1.0
    bounds = [b for b in (limits or {}).values() if low - 2 * span <= b <= high + 2 * span]
    low, high = min([low, *bounds]), max([high, *bounds])
    step = (SPARK_WIDTH - 2 * _PAD) / max(len(values) - 1, 1)

    def y(value: float) -> float:
        return SPARK_HEIGHT - _PAD - (value - low) / ((high - low) or 1.0) * (SPARK_HEIGHT - 2 * _PAD)

    dots = [(_PAD + i * step, y(v), ok) for i, (v, ok) in enumerate(zip(values, passed, strict=True)) if v is not None]
    parts = [f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" aria-label="over the runs">']
    parts += [
        f'<line class="bound" x1="0" x2="{SPARK_WIDTH}" y1="{y(b):.1f}" y2="{y(b):.1f}"/>' for b in sorted(set(bounds))
    ]
    if len(dots) > 1:
        parts.append(f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b, _ in dots)}"/>')
    last = len(dots) - 1
    for i, (a, b, ok) in enumerate(dots):
        if not ok or i == last:
            parts.append(f'<circle class="{"good" if ok else "bad"}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>')
    return "".join([*parts, "</svg>"])


def histogram(now: Mapping[str, int], before: Mapping[str, int] | None, unit: str = "") -> str:
    """Bars of the shares of this run, and lines where those of the run before were; bins in the order of their edges."""
    edges = sorted(now.keys() | (before or {}).keys(), key=_edge)
    if not edges:
        return ""
    width, height, bottom = 420, 150, 34
    shares = [_shares(counts, edges) for counts in (now, before or {})]
    top = max(max(own, default=0) for own in shares) or 1
    step = min(width / len(edges), 70)
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img">']
    for i, edge in enumerate(edges):
        x, tall = i * step, shares[0][i] / top * (height - bottom - 14)
        title = f"{edge}{unit}: {shares[0][i]:.1%}" + (f", before {shares[1][i]:.1%}" if before else "")
        parts.append(f"<g><title>{html.escape(title)}</title>")
        parts.append(
            f'<rect class="now" x="{x + 1.5:.1f}" y="{height - bottom - tall:.1f}" width="{step - 3:.1f}" '
            f'height="{tall:.1f}" rx="2"/>'
        )
        if before:
            level = height - bottom - shares[1][i] / top * (height - bottom - 14)
            parts.append(f'<line class="before" x1="{x:.1f}" x2="{x + step:.1f}" y1="{level:.1f}" y2="{level:.1f}"/>')
        every = -(-len(edges) // 9)
        if i % every == 0:
            parts.append(
                f'<text x="{x + step / 2:.1f}" y="{height - 16}" text-anchor="middle">{html.escape(edge)}</text>'
            )
        parts.append("</g>")
    if unit:
        parts.append(f'<text x="{width}" y="{height - 2}" text-anchor="end">{html.escape(unit.strip())}, from</text>')
    return "".join([*parts, "</svg>"])


def _edge(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return math.inf, text


def _shares(counts: Mapping[str, int], edges: Sequence[str]) -> list[float]:
    total = sum(counts.values()) or 1
    return [counts.get(edge, 0) / total for edge in edges]
