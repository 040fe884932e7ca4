"""`ram calibrate`: thresholds and probabilities of a labeled table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ram.finetuning.calibrate import Result


class Target(StrEnum):
    """What a threshold is to reach."""

    F1 = "f1"
    PRECISION_IS_RECALL = "precision=recall"
    PRECISION = "precision"


class Method(StrEnum):
    """How scores become probabilities."""

    PLATT = "platt"
    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"
    NONE = "none"


def calibrate(
    model: Annotated[str, typer.Argument(help="`champion`, a version, or a checkpoint folder.")],
    table: Annotated[Path, typer.Argument(help="CSV or Parquet: image (a path), tag, and if you like label (1 or 0).")],
    out: Annotated[Path, typer.Option(help="The folder of the new checkpoint; must not be there yet.")],
    images: Annotated[Path | None, typer.Option(help="Paths are relative to this; left out, to the table.")] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="What an image's rows do not name is absent; else it is unknown.")
    ] = False,
    target: Annotated[Target, typer.Option(help="What a tag's threshold is to reach.")] = Target.F1,
    min_precision: Annotated[float, typer.Option(help="The precision to reach, for --target precision.")] = 0.8,
    prior_positives: Annotated[
        float, typer.Option(help="A tag with so many positives leans half on its kind's threshold.")
    ] = 10.0,
    calibration: Annotated[Method, typer.Option(help="How scores become probabilities.")] = Method.PLATT,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 32,
) -> None:
    """Fit thresholds and probabilities to your own labels; MODEL stays as it is, OUT is a copy with new ones."""
    from ram.finetuning.calibrate import calibrate_model
    from ram.finetuning.params import THRESHOLDS

    if batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {batch_size}")
    params = replace(
        THRESHOLDS,
        target=target.value,
        min_precision=min_precision,
        prior_positives=prior_positives,
        calibration=calibration.value,
    )
    _show(calibrate_model(table, images, model, out, params, complete=complete, batch_size=batch_size))


def _show(result: Result) -> None:
    document, tags = result.document, result.tags
    print(f"images    {result.num_images}")
    print(f"tags        {int((~tags['new']).sum())} of the model, {int(tags['new'].sum())} new to it")
    print(f"thresholds  {document['default']:.3f} in general, {document['open_set']:.3f} for new tags")
    for when, quality in result.held_out.items():
        shown = ", ".join(f"{name} {value:.3f}" for name, value in quality.items())
        print(f"{when:<10}  {shown} (images held out)")
    parts = {"tags": document, "new tags": document["open_set_calibration"]}
    for name, part in parts.items():
        if part:
            before, after = part["ece_before"], part["ece_after"]
            print(f"error of probabilities of {name}: {before:.3f} before, {after:.3f} after (images held out)")
    if counts := Counter(result.quarantine["reason"]):
        reasons = ", ".join(f"{num} {reason}" for reason, num in counts.most_common())
        print(f"set aside   {counts.total()} rows ({reasons}): {result.quarantine_path}")
    print(f"checkpoint  {result.directory}", flush=True)
