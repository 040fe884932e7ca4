"""`ram rescore`: tags of a folder that grows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ram.cli.speed import Precision, PrecisionOption, ShortlistOption


def rescore(
    folder: Annotated[Path, typer.Argument(help="A folder of images.")],
    out: Annotated[Path, typer.Option(help="Where the tags are written, a file a model version.")],
    model: Annotated[
        str, typer.Option(help="`champion` (the registry's), a version, or a checkpoint folder.")
    ] = "champion",
    precision: PrecisionOption = Precision.FP32,
    shortlist: ShortlistOption = None,
) -> None:
    """Tag a folder of images; what this model has tagged before is not tagged again."""
    from ram.inference.batch_tagging import rescore
    from ram.inference.tagger import load

    done = rescore(load(model, precision=precision.value, shortlist=shortlist), folder, out)
    print(
        f"{done.path}: {done.num_images} images; {done.num_scored} tagged now, {done.num_kept} before, "
        f"{done.num_refused} cannot be read"
    )
