"""The numbers of the report, arranged for its template, and the page made of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd

from ram.reports.run.examples import shown_boxes

if TYPE_CHECKING:
    import jinja2

MODEL_TITLES = {
    "preliminary": "Parsed tags",
    "retrained_uncleaned": "+ generation",
    "retrained": "+ cleaning",
    "finetuned": "+ fine-tuning",
}
METRICS = (
    ("mAP_seen", "mAP seen"),
    ("mAP_unseen", "mAP unseen"),
    ("mAP_in_label_system", "mAP tags"),
    ("mAP_not_in_label_system", "mAP new names"),
    ("mAP_held_out", "mAP held out"),
    ("mAP_with_children", "mAP with children"),
    ("micro_mAP", "micro mAP"),
    ("precision_macro", "P"),
    ("recall_macro", "R"),
    ("f1_macro", "F1"),
    ("precision_micro", "P micro"),
    ("recall_micro", "R micro"),
    ("f1_micro", "F1 micro"),
)
ORIGIN_TITLES = {
    "caption": "caption words",
    "implied": "implied by them",
    "generated_caption": "generated captions",
    "predicted": "predicted",
    "human": "people",
}
REASON_TITLES = {
    "cluster_outlier": "outlier in its cluster",
    "contrary_prediction": "not seen on its region",
    "human_verdict": "a person said so",
}


def benchmark_views(evaluation: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One view a benchmark: bars of mAP with their intervals, and a table of the metrics that some model has."""
    views = []
    for benchmark in dict.fromkeys(name for found in evaluation.values() for name in found):
        models = {m: evaluation[m][benchmark] for m in MODEL_TITLES if benchmark in evaluation.get(m, {})}
        first = next(iter(models.values()))
        top = max([f["mAP_ci95"][1] if f.get("mAP_ci95") else f["mAP"] or 0 for f in models.values()] or [1.0])
        bars = [_bar(model, facts, max(top, 1e-9)) for model, facts in models.items()]
        columns = [(key, title) for key, title in METRICS if any(f.get(key) is not None for f in models.values())]
        kinds = list(dict.fromkeys(kind for facts in models.values() for kind in facts["per_kind"]))
        views.append(
            {
                "name": benchmark,
                "facts": first,
                "bars": bars,
                "chance": first.get("chance_mAP"),
                "chance_width": 100 * (first.get("chance_mAP") or 0) / max(top, 1e-9),
                "columns": [title for _, title in columns],
                "rows": [
                    {"title": MODEL_TITLES[m], "values": [f.get(k) for k, _ in columns]} for m, f in models.items()
                ],
                "kinds": [
                    {
                        "kind": kind,
                        "num_tags": first["per_kind"].get(kind, {}).get("num_tags", 0),
                        "values": [f["per_kind"].get(kind, {}).get("mAP") for f in models.values()],
                    }
                    for kind in kinds
                ],
                "models": [MODEL_TITLES[m] for m in models],
            }
        )
    return views


def _bar(model: str, facts: Mapping[str, Any], top: float) -> dict[str, Any]:
    value, interval = facts["mAP"] or 0.0, facts.get("mAP_ci95")
    bar = {
        "model": model,
        "title": MODEL_TITLES[model],
        "value": facts["mAP"],
        "width": 100 * value / top,
        "interval": interval,
    }
    if interval:
        bar |= {"low": 100 * interval[0] / top, "span": 100 * (interval[1] - interval[0]) / top}
    return bar


def tag_view(
    per_tag: pd.DataFrame, evaluation: Mapping[str, Mapping[str, Any]], thresholds: Mapping[str, Any], num: int
) -> list[dict[str, Any]]:
    """Best and worst names of each benchmark by the finetuned model, with what they were before and their threshold."""
    views = []
    for benchmark, rows in per_tag.groupby("benchmark", sort=False):
        by_model = rows.pivot_table(index="name", columns="model", values="average_precision", dropna=False)
        if "finetuned" not in by_model:
            continue
        own = rows[rows["model"] == "finetuned"].set_index("name").dropna(subset=["average_precision"])
        ranked = own.sort_values("average_precision", ascending=False, kind="stable")
        tag_of = evaluation["finetuned"][str(benchmark)]["mapping"]["synonym"]
        of_name = {name: thresholds["tags"].get(tag_of.get(name, name)) for name in ranked.index}
        shown = {"Best": ranked.head(num), "Worst": ranked.iloc[num:].tail(num).iloc[::-1]}
        groups = {
            title: [_tag_row(str(n), r, by_model, of_name) for n, r in g.iterrows()] for title, g in shown.items()
        }
        views.append({"benchmark": benchmark, "groups": {title: rows for title, rows in groups.items() if rows}})
    return views


def _tag_row(
    name: str, row: pd.Series, by_model: pd.DataFrame, thresholds: Mapping[str, float | None]
) -> dict[str, Any]:
    before = by_model["preliminary"].get(name) if "preliminary" in by_model else None
    return {
        "name": name,
        "seen": bool(row["seen"]),
        "num_positives": int(row["num_positives"]),
        "average_precision": float(row["average_precision"]),
        "before": None if before is None or pd.isna(before) else float(before),
        "precision": None if pd.isna(row["precision"]) else float(row["precision"]),
        "recall": None if pd.isna(row["recall"]) else float(row["recall"]),
        "threshold": thresholds[name],
    }


def render(context: Mapping[str, Any]) -> str:
    """The page. What comes from data is escaped; nothing is loaded from anywhere."""
    folder = resources.files("ram.reports.run")
    template = make_environment().from_string(folder.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    return template.render(style=folder.joinpath("style.css").read_text(encoding="utf-8"), **context)


def make_environment() -> jinja2.Environment:
    """What the templates of pages share: escaping, filters for numbers, titles of origins, reasons and models."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": number,
        "share": share,
        "count": count,
        "title": lambda s: str(s).replace("_", " "),
    }
    environment.globals |= {
        "boxes": shown_boxes,
        "origin_titles": ORIGIN_TITLES,
        "reason_titles": REASON_TITLES,
        "model_titles": MODEL_TITLES,
    }  # fmt: skip
    return environment


def number(value: float | None) -> str:
    """Three decimals; a dash for what there is not."""
    return "–" if value is None or value != value else f"{value:.3f}"


def share(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.1%}"


def count(value: int) -> str:
    return f"{value:,}"
