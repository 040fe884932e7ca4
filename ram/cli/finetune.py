"""`ram finetune`: one's own tags, in one command."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ram.finetuning.training import Result


def finetune(
    table: Annotated[
        Path, typer.Argument(help="CSV or Parquet: columns image (a path), tag, and if you like label (1 or 0).")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the new checkpoint; must not be there yet.")],
    model: Annotated[
        str, typer.Option(help="What to start from: `champion`, a version, or a checkpoint folder.")
    ] = "champion",
    images: Annotated[Path | None, typer.Option(help="Paths are relative to this; left out, to the table.")] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="What an image's rows do not name is absent; else it is unknown.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Times that every image is seen.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="The peak, of everything but the backbone.")] = 5e-4,
    backbone_factor: Annotated[float, typer.Option(help="The backbone's learning rate, relative to that.")] = 0.1,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels; left out, the model's.")] = None,
    num_views: Annotated[int, typer.Option(help="Views of an image that a frozen backbone computes.")] = 4,
    dev_share: Annotated[float, typer.Option(help="Share of the images held out; 0: none, no new thresholds.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
) -> None:
    """Fine-tune a model on your own tags; `ram tag --model OUT` uses them. Killed and started again, it goes on."""
    from ram.finetuning.finetune import finetune as run
    from ram.finetuning.params import Params

    params = Params(
        epochs=epochs,
        learning_rate=learning_rate,
        backbone_factor=backbone_factor,
        batch_size=batch_size,
        image_size=image_size,
        num_views=num_views,
        dev_share=dev_share,
        complete=complete,
        seed=seed,
    )
    _show(run(table, images, model, out, params))


def _show(result: Result) -> None:
    tags = result.tags
    num_new = int(tags["new"].sum())
    judged = int(tags["AP_after"].notna().sum())
    print(f"images    {result.num_train} to train on, {result.num_dev} held out")
    print(f"tags        {len(tags) - num_new} known, {num_new} new")
    if judged:
        before, after = tags["AP_before"].mean(), tags["AP_after"].mean()
        print(f"mAP         {before:.3f} before, {after:.3f} after ({judged} tags in the images held out)")
    counts = Counter(result.quarantine["reason"])
    if counts:
        reasons = ", ".join(f"{num} {reason}" for reason, num in counts.most_common())
        print(f"set aside   {counts.total()} rows ({reasons}): {result.quarantine_path}")
    print(f"checkpoint  {result.directory}", flush=True)
    if len(tags) > judged and result.num_dev:
        print(f"{len(tags) - judged} tags are in no image held out, see tags.csv", file=sys.stderr)
