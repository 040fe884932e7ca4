"""`ram evaluate`: models and baselines on a benchmark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ram.reports.comparison import Comparison


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Checkpoint folders, `champion` or a version; prior:F, captions:F, probe:F, clip:F. The first is compared with.",
        ),
    ],
    benchmark: Annotated[str, typer.Option(help="A known one, as coco80 or oi_rare200; `table`; or a YAML file.")],
    labels: Annotated[list[str] | None, typer.Option(help="The files, or the folder, of its labels.")] = None,
    images: Annotated[str | None, typer.Option(help="A folder, a tar, or a pattern of shards.")] = None,
    names: Annotated[str | None, typer.Option(help="Its tag list.")] = None,
    classes: Annotated[str | None, typer.Option(help="Open Images: the CSV of ids and names.")] = None,
    label_format: Annotated[str | None, typer.Option("--format", help="Of the labels, if not as published.")] = None,
    split: Annotated[str | None, typer.Option(help="A file of the images to take, one a line.")] = None,
    captions: Annotated[str | None, typer.Option(help="Captions of the images, for captions:F.")] = None,
    unlabeled: Annotated[str | None, typer.Option(help="What no label speaks of is: negative, unknown.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="The reviewed mapping from its names to tags.")] = None,
    propose_mapping: Annotated[
        Path | None, typer.Option(help="Write the mapping that a person is to review, and stop.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="The YAML file of the labels that probe:F learns from.")] = None,
    threshold: Annotated[
        list[float] | None, typer.Option(help="P, R, F1 at one threshold for all names too; may be repeated.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Of the images, for intervals; 0: none.")] = 200,
    out: Annotated[
        Path | None, typer.Option(help="Write the figures as JSON, and beside it a CSV, a row a name.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what cannot be used, instead of counting it.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Images at once.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the resamples, and the probe.")] = 0,
) -> None:
    """Judge models on a labeled benchmark: mAP, precision, recall, F1, by tag, kind and frequency, with intervals."""
    from ram.evaluation.baselines import Settings, make_scorer
    from ram.evaluation.judge import Options
    from ram.evaluation.label_formats import describe
    from ram.evaluation.mapping import write_mapping
    from ram.reports.comparison import compare, map_names, open_benchmark

    options = Options(thresholds=tuple(threshold or ()), num_resamples=resamples, seed=seed)
    changes: dict[str, Any] = {
        "labels": labels, "images": images, "names": names, "classes": classes, "format": label_format,
        "split": split, "captions": captions, "unlabeled": unlabeled,
    }  # fmt: skip
    description = describe(benchmark, **changes)
    settings = Settings(batch_size=batch_size, train=describe(train) if train else None, seed=seed)
    scorers = [make_scorer(model, settings) for model in models]
    looked_at = propose_mapping is None and any(scorer.looks_at_images for scorer in scorers)
    opened = open_benchmark(description, with_images=looked_at)
    if propose_mapping is not None:
        proposed = map_names(scorers[0], opened, None, suggest=True)
        write_mapping(proposed, propose_mapping)
        num_tags = sum(bool(row.tags) for row in proposed)
        print(f"{propose_mapping}: {num_tags} of {len(proposed)} names are tags; review it, and give it with --mapping")
        return
    _refuse(opened.problems, strict)
    found = compare(scorers, opened, mapping, settings, options)
    _refuse(opened.problems, strict)
    _write(found, out, html)


def _refuse(problems: Any, strict: bool) -> None:
    if strict and problems:
        raise ValueError(f"not all of the benchmark can be used: {problems}; mend it, or leave out --strict")


def _write(found: Comparison, out: Path | None, html: Path | None) -> None:
    from ram.io.tables import write_json, write_text
    from ram.reports.comparison_page import as_page, as_text

    if out is not None:
        write_text(found.per_name.to_csv(index=False), out.with_suffix(".csv"))
        write_json(found.document, out)
    if html is not None:
        write_text(as_page(found.document, found.per_name), html)
    sys.stdout.write(as_text(found.document))
