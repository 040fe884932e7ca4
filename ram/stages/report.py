"""everything above -> one HTML page with images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ram.datasets.image_store import ImageStore
from ram.io.tables import Table, write_text
from ram.labels import LabelSystem
from ram.pipeline.catalog import ORIGINS, SPLITS
from ram.reports.run.balance import balance_view
from ram.reports.run.charts import training_charts
from ram.reports.run.examples import chosen_images, examples
from ram.reports.run.funnel import funnel
from ram.reports.run.page import benchmark_views, render, tag_view
from ram.reports.run.predictions import predictions

READS_FAILED_CHECKS = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    num_images: int  # shown with the tags that were added and removed, and as many test images
    thumbnail_size: int  # longer side, in pixels
    num_tags_shown: int  # best and worst tags

    def __post_init__(self) -> None:
        for parameter in ("num_images", "thumbnail_size", "num_tags_shown"):
            if getattr(self, parameter) < 1:
                raise ValueError(f"{parameter} must be at least 1, got {getattr(self, parameter)}")


class Inputs(NamedTuple):
    images: Table
    image_shards: Path
    pairs: Table
    labels: Table
    benchmarks: dict[str, Any]
    quarantine: Table
    skipped_captions: Table
    phrase_table: dict[str, Any]
    label_system: dict[str, Any]
    label_system_report: dict[str, Any]
    parsed_tags: Table
    generated_tags: Table
    generated_captions: Table
    generation_report: dict[str, Any]
    cleaned_tags: Table
    cleaning_report: dict[str, Any]
    balance: dict[str, Any]
    review_gallery: Path
    preliminary_curves: pd.DataFrame
    retrained_uncleaned_curves: pd.DataFrame
    retrained_curves: pd.DataFrame
    finetuned_curves: pd.DataFrame
    finetuned_model: Path
    thresholds: dict[str, Any]
    evaluation: dict[str, Any]
    per_tag_metrics: Table
    pairs_check: dict[str, Any]
    parsed_tags_check: dict[str, Any]
    generated_tags_check: dict[str, Any]
    cleaned_tags_check: dict[str, Any]
    scratch: Path


class Outputs(NamedTuple):
    report: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    """A folder with index.html, which loads nothing; it links to the Data Docs and the review gallery beside it."""
    directory = inputs.scratch / "report"
    checks = [inputs.pairs_check, inputs.parsed_tags_check, inputs.generated_tags_check, inputs.cleaned_tags_check]
    curves = {
        model: getattr(inputs, f"{model}_curves")
        for model in ("preliminary", "retrained_uncleaned", "retrained", "finetuned")
    }
    counts = funnel(inputs.images, inputs.parsed_tags, inputs.generated_tags, inputs.cleaned_tags)
    page = render(
        {
            **_data(inputs),
            **_images(inputs, params),
            "benchmarks": benchmark_views(inputs.evaluation),
            "tags": tag_view(
                inputs.per_tag_metrics.to_pandas(), inputs.evaluation, inputs.thresholds, params.num_tags_shown
            ),
            "thresholds": inputs.thresholds,
            "funnel": counts,
            "origins": [o for o in ORIGINS if any(o in step["parts"] for step in counts["steps"])],
            "engine_facts": {
                "Generation": plain_facts(inputs.generation_report),
                "Cleaning": plain_facts(inputs.cleaning_report),
            },
            "verdicts": inputs.cleaning_report.get("verdicts"),
            "balance": balance_view(inputs.balance, params.num_tags_shown),
            "charts": training_charts(curves),
            "checks": checks,
            "checks_passed": sum(check["passed"] for check in checks),
        }
    )
    write_text(page, directory / "index.html")
    return Outputs(report=directory)


def _images(inputs: Inputs, params: Params) -> dict[str, Any]:
    store = ImageStore(inputs.images, inputs.image_shards)
    size = params.thumbnail_size
    label_system = LabelSystem.from_json(inputs.label_system)
    chosen = chosen_images(inputs.cleaned_tags, params.num_images)
    tables = (inputs.pairs, inputs.generated_captions, inputs.cleaned_tags)
    return {
        "examples": examples(chosen, store, *tables, label_system, size),
        "predictions": predictions(
            inputs.finetuned_model, inputs.thresholds, inputs.images, store, inputs.labels, inputs.benchmarks,
            params.num_images, size,
        ),
    }  # fmt: skip


def _data(inputs: Inputs) -> dict[str, Any]:
    """Counts of images, captions, refusals and tags."""
    images = inputs.images.to_pandas(["source", "split"])
    sources: dict[str, dict[str, int]] = {}
    counts = images.groupby(["source", "split"], as_index=False).size()
    for source, split, num in counts.itertuples(index=False):
        sources.setdefault(source, {})[split] = int(num)
    return {
        "num_images": len(images),
        "num_pairs": inputs.pairs.num_rows,
        "sources": sources,
        "splits": [split for split in SPLITS if any(split in own for own in sources.values())],
        "quarantine": _reasons(inputs.quarantine),
        "skipped": _reasons(inputs.skipped_captions),
        "parser": {name: inputs.phrase_table[name] for name in ("parser", "num_distilled", "agreement")},
        "label_system": {
            **inputs.label_system_report,
            "num_tags": len(inputs.label_system["tags"]),
            "version": inputs.label_system["version"],
        },
    }


def _reasons(table: Table) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in table.batches(["reason"]):
        counts.update(batch["reason"].to_pylist())
    return dict(counts.most_common())


def plain_facts(report: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The numbers and words of a JSON report, nested names joined; lists and per-tag tables are left to the file."""
    facts: dict[str, str] = {}
    for key, value in report.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            if len(value) <= 12:
                facts |= plain_facts(value, f"{name}: ")
        elif isinstance(value, float):
            facts[name] = f"{value:.4g}"
        elif isinstance(value, int | str) and not isinstance(value, bool):
            facts[name] = f"{value:,}" if isinstance(value, int) else value
    return facts
