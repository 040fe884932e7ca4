"""A comparison of models on a benchmark, for people: a table for the terminal, and a page in the style of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import pandas as pd

COLUMNS = (
    ("mAP", "mAP"),
    ("mAP_ci95", "95 %"),
    ("micro_mAP", "micro mAP"),
    ("precision_macro", "P"),
    ("recall_macro", "R"),
    ("f1_macro", "F1"),
    ("f1_micro", "F1 micro"),
    ("mAP_unseen", "mAP unseen"),
    ("mAP_unseen_without_leaks", "mAP unseen, no leaks"),
    ("chance_mAP", "chance"),
)
GROUPS = {
    "per_kind": "by kind",
    "per_training_frequency": "by mentions in training captions",
    "per_positives": "by positives here",
}


def number(value: Any) -> str:
    """Three decimals, an interval as two numbers, "–" for None."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, Sequence):
        return " to ".join(f"{part:.3f}" for part in value)
    return f"{value:.3f}"


def as_text(document: Mapping[str, Any]) -> str:
    """A readable table of every model, and what does not meet the eye: leaks, problems, names without positives."""
    models = document["models"]
    first = models[0]
    lines = [
        f"{document['benchmark']}: {first['num_images']:,} images, {first['num_names']:,} names, "
        f"{first['num_positives']:,} positives; names mapped by: {document['mapping']}"
    ]
    lines += _table(["model", *(title for _, title in _columns(models))], _rows(models))
    for model in models:
        if model["at_thresholds"]:
            rows = [
                [number(at["threshold"]), *(number(at[k]) for k in ("precision_macro", "recall_macro", "f1_macro"))]
                for at in model["at_thresholds"]
            ]
            lines += ["", f"{model['model']}, one threshold for all names"]
            lines += _table(["threshold", "P", "R", "F1"], rows)
        if "difference_from_first" in model:
            found = model["difference_from_first"]
            lines.append(
                f"{model['model']} less {first['model']}: mAP {found['mAP']:+.3f}, 95 % {number(found.get('mAP_ci95'))}"
            )
    for key, title in GROUPS.items():
        lines += ["", f"{first['model']}, {title}"]
        lines += _table(
            ["", "names", "judged", "mAP", "P", "R", "F1"],
            [
                [group, str(f["num_names"]), str(f["num_judged"])]
                + [number(f[k]) for k in ("mAP", "precision", "recall", "f1")]
                for group, f in first[key].items()
            ],
        )
    return "\n".join([*lines, "", *remarks(document)]) + "\n"


def remarks(document: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures must know, a sentence each."""
    first = document["models"][0]
    found = []
    if first["without_positives"]:
        found.append(
            f"{len(first['without_positives'])} names have no positive and count nowhere: {_some(first['without_positives'])}"
        )
    if document["left_out"]:
        found.append(f"{len(document['left_out'])} names are left out by the mapping: {_some(document['left_out'])}")
    for model in document["models"]:
        if leaks := model["unseen"]["leaks"]:
            said = [f"{leak['name']} ({leak['tag']}, by {leak['how']})" for leak in leaks]
            found.append(
                f"{model['model']}: {len(leaks)} of {model['unseen']['num']} names called unseen are among its training "
                f"tags: {_some(said)}"
            )
        if model["mapping"]["text"]:
            found.append(
                f"{model['model']}: {len(model['mapping']['text'])} names are no tags of it: {_some(model['mapping']['text'])}"
            )
    for reason, facts in document["problems"].items():
        found.append(f"{facts['num']} {reason.replace('_', ' ')}: {_some(facts['examples'])}")
    return found


def _some(names: Sequence[str], num: int = 5) -> str:
    return ", ".join(names[:num]) + (" …" if len(names) > num else "")


def _columns(models: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(key, title) for key, title in COLUMNS if any(model.get(key) is not None for model in models)]


def _rows(models: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [[model["model"], *(number(model.get(key)) for key, _ in _columns(models))] for model in models]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def as_page(document: Mapping[str, Any], per_name: pd.DataFrame, num_names: int = 15) -> str:
    """One HTML page without references to the network: bars of mAP, the tables, the best and worst names."""
    from ram.reports.run.page import make_environment

    models = document["models"]
    top = max([(m.get("mAP_ci95") or [0, m["mAP"] or 0])[1] for m in models] + [1e-9])
    bars = [
        {
            "title": model["model"],
            "value": number(model["mAP"]),
            "width": 100 * (model["mAP"] or 0) / top,
            "interval": [100 * value / top for value in model["mAP_ci95"]] if model.get("mAP_ci95") else None,
        }
        for model in models
    ]
    ranked = per_name[per_name["model"] == models[0]["model"]].dropna(subset=["average_precision"])
    ranked = ranked.sort_values("average_precision", ascending=False, kind="stable")
    names = {"Best": ranked.head(num_names), "Worst": ranked.iloc[num_names:].tail(num_names).iloc[::-1]}
    environment = make_environment()
    environment.filters["number"] = number
    template = environment.from_string(
        resources.files("ram.reports").joinpath("comparison.html.jinja").read_text("utf-8")
    )
    return template.render(
        style=resources.files("ram.reports.run").joinpath("style.css").read_text("utf-8"),
        document=document,
        models=models,
        bars=bars,
        columns=[title for _, title in _columns(models)],
        rows=_rows(models),
        groups=GROUPS,
        remarks=remarks(document),
        names={title: rows.to_dict("records") for title, rows in names.items() if len(rows)},
    )
