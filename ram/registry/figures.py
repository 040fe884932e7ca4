"""Figures of a run, by matplotlib, without a display or a state of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _figure(width: float = 8, height: float = 5) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def curves_figure(curves: pd.DataFrame, title: str) -> Figure:
    """One panel a metric of a curves file."""
    panels = list(curves.dropna(subset=["value"]).groupby(["split", "metric"], sort=False))
    figure = _figure(9, 3 * max(-(-len(panels) // 2), 1))
    for number, ((split, metric), rows) in enumerate(panels, start=1):
        axes = figure.add_subplot(-(-len(panels) // 2), 2, number)
        axes.plot(rows["step"], rows["value"], marker="o" if len(rows) < 20 else None, markersize=3)
        axes.set_title(f"{metric} ({split})", fontsize=9)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def precision_figure(per_tag: pd.DataFrame, model: str) -> Figure:
    """Average precision of every name of every benchmark against its number of images."""
    figure = _figure()
    axes = figure.add_subplot()
    own = per_tag[(per_tag["model"] == model) & per_tag["average_precision"].notna()]
    for benchmark, rows in own.groupby("benchmark", sort=False):
        for seen, some in rows.groupby("seen"):
            label = f"{benchmark}, {'seen' if seen else 'unseen'}"
            axes.scatter(some["num_positives"], some["average_precision"], s=14, alpha=0.7, label=label)
    axes.set(xscale="log", ylim=(0, 1.02), xlabel="images with it", ylabel="average precision", title=model)
    axes.grid(alpha=0.3)
    if len(own):
        axes.legend()
    return figure


def balance_figure(tags: Mapping[str, Mapping[str, int]]) -> Figure:
    """Images a tag by its rank, of each step of the data engine."""
    figure = _figure()
    axes = figure.add_subplot()
    for step in ("parsed", "generated", "cleaned"):
        counts = sorted((counts[step] for counts in tags.values() if counts[step]), reverse=True)
        axes.plot(range(1, len(counts) + 1), counts, label=step)
    axes.set(xscale="log", yscale="log", xlabel="rank of the tag", ylabel="train images", title="Tags by frequency")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def confusion_figure(counts_KK: Any, expected_KK: Any, names: list[str], pairs: pd.DataFrame, num: int = 24) -> Figure:
    """What is said in place of what: images beyond chance, of the names in the worst pairs."""
    found = zip(pairs["missed"].astype(str), pairs["said"].astype(str), strict=True)
    chosen = list(dict.fromkeys(name for pair in found for name in pair))[:num]
    rows = [names.index(name) for name in chosen]
    excess = (counts_KK - expected_KK)[rows][:, rows]
    figure = _figure(9, 8)
    axes = figure.add_subplot()
    image = axes.imshow(excess.clip(min=0), cmap="magma_r")
    axes.set(xlabel="wrongly said", ylabel="missed", title="Confusions beyond chance, images")
    axes.set_xticks(range(len(chosen)), chosen, rotation=90, fontsize=8)
    axes.set_yticks(range(len(chosen)), chosen, fontsize=8)
    figure.colorbar(image, shrink=0.7)
    return figure
