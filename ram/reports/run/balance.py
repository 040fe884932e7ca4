"""The balance of the tags before and after the data engine, arranged for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ram.reports.run.charts import line_chart

STEPS = ("parsed", "generated", "cleaned")


def balance_view(report: Mapping[str, Any], num: int) -> dict[str, Any]:
    """The report with at most `num` rows a table, the tags that the engine changed most, and a chart of all of them.

    The chart: tags from the most to the least frequent of each step, and on how many images each is, as powers of 10.
    """
    curves = {}
    for step in STEPS:
        counts = sorted((counts[step] for counts in report["tags"].values() if counts[step]), reverse=True)
        curves[step] = [(float(rank), math.log10(count)) for rank, count in enumerate(counts, start=1)]
    return {
        **report,
        "inflated": report["inflated"][:num],
        "pairs": {direction: rows[:num] for direction, rows in report["pairs"].items()},
        "changed_tags": _most_changed(report["tags"], num),
        "chart": line_chart(curves, "rank"),
    }


def _most_changed(tags: Mapping[str, Mapping[str, int]], num: int) -> list[dict[str, Any]]:
    """The tags whose number of images changed most from the captions to the end; bars as shares of the widest."""
    widest = max((count for counts in tags.values() for count in counts.values()), default=0) or 1
    order = sorted(tags, key=lambda name: -abs(tags[name]["cleaned"] - tags[name]["parsed"]))
    return [
        {"name": name, **tags[name], "widths": {step: 100 * tags[name][step] / widest for step in STEPS}}
        for name in order[:num]
    ]
