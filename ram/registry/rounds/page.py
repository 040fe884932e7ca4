"""The rounds as a page: what each made, and how much it changed. The report shows it where it stands."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ram.pipeline.catalog import ORIGINS

PAGE_PATH = Path("data", "rounds", "index.html")

_STYLE = """
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif } body { margin: 0 }
table { border-collapse: collapse } td, th { text-align: right; padding: 4px 0 4px 18px; font-variant-numeric: tabular-nums }
td:first-child, th:first-child { text-align: left; padding-left: 0 } tr + tr td { border-top: 1px solid #8884 }
"""


def as_page(rounds: Sequence[Mapping[str, Any]]) -> str:
    """One table, a column a round; loads nothing. What comes from data is escaped."""
    rows = [
        f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>" for tag, cells in _rows(rounds)
    ]
    reason = rounds[-1]["stop"] if rounds else None
    end = f"<p>No further round is worth it: {html.escape(reason)}.</p>" if reason else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Rounds</title><style>{_STYLE}</style>'
        f"<table>{''.join(rows)}</table>{end}</html>\n"
    )


def _rows(rounds: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    steps = [{step["name"]: step for step in r["funnel"]["steps"]} for r in rounds]
    rows = [("th", ["Round", *(str(r["round"]) for r in rounds)])]
    rows.append(("td", ["generator", *(f"{r['checkpoint']} ({r['generator_version']})" for r in rounds)]))
    for name in ("parsed", "generated", "cleaned"):
        rows.append(("td", [f"tags {name}", *(f"{step[name]['total']:,}" for step in steps)]))
        if name == "generated":
            for origin in ORIGINS:
                counts = [step[name]["parts"].get(origin, 0) for step in steps]
                if any(counts):
                    rows.append(("td", [f"– {origin.replace('_', ' ')}", *(f"{n:,}" for n in counts)]))
    rows.append(("td", ["removed", *(f"{step['cleaned']['removed']:,}" for step in steps)]))
    rows.append(("td", ["kept tags that changed", *(_share(r["tag_change"]) for r in rounds)]))
    if any(r["truth"] for r in rounds):
        right = [r["truth"]["all"]["precision_after"] if r["truth"] else None for r in rounds]
        rows.append(("td", ["kept tags that are right, by labels", *(_share(value) for value in right)]))
    rows.append(("td", ["mAP on dev, retrained", *(_number(r["dev_mAP"]) for r in rounds)]))
    for model in ("retrained", "finetuned"):
        for benchmark in dict.fromkeys(b for r in rounds for b in r["mAP"].get(model, {})):
            found = [r["mAP"].get(model, {}).get(benchmark) for r in rounds]
            rows.append(("td", [f"mAP, {model}, {benchmark}", *(_number(value) for value in found)]))
    return rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
