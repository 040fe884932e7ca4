"""`ram shortlist`: which of a model's tags are worth decoding for an image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ram.cli.speed import Precision, PrecisionOption


def shortlist(
    model: Annotated[Path, typer.Argument(help="A checkpoint folder; the shortlist is written into it.")],
    images: Annotated[
        list[str], typer.Option(help="Images like those to be tagged: files, folders, patterns or tar shards.")
    ],
    sizes: Annotated[str, typer.Option(help="Numbers of tags to measure, separated by commas.")] = "100,200,500,1000",
    max_images: Annotated[int, typer.Option(help="At most this many images.")] = 4000,
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    precision: PrecisionOption = Precision.FP32,
) -> None:
    """Fit a shortlist on images without labels, for `ram tag --shortlist N`, and say what it keeps on left-out ones."""
    from ram.inference.shortlist import make_shortlist
    from ram.inference.sources import named_images
    from ram.inference.tagger import load

    if not model.is_dir():
        raise ValueError(f"{model} is no checkpoint folder; a shortlist is written into one")
    tagger = load(model, device, precision=precision.value)
    fitted = make_shortlist(tagger, named_images(images), _sizes(sizes), max_images)
    fitted.shortlist.save(model)
    for reason in fitted.refused:
        print(f"not read: {reason}", file=sys.stderr)
    print(f"fitted on {fitted.num_images} images; every fifth judged:")
    print("| tags decoded | tags said an image | of these kept | decisions equal |")
    print("|---|---|---|---|")
    for row in fitted.measured:
        print(f"| {row.num_tags} | {row.said:.1f} | {row.kept:.2%} | {row.equal:.3%} |")


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(number) for number in text.split(",")})
    except ValueError as error:
        raise ValueError(f"--sizes are whole numbers separated by commas, got {text!r}") from error
    if sizes[0] < 1:
        raise ValueError(f"--sizes must be at least 1, got {sizes[0]}")
    return sizes
