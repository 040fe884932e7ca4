"""Options that tagging commands share: how fast, at which outputs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Precision(StrEnum):
    """Of the matrix products."""

    FP32 = "fp32"
    BF16 = "bf16"


PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="bf16: about twice as fast on processors with bf16 instructions, and nearly the same tags; elsewhere fp32 is used."
    ),
]
ShortlistOption = Annotated[
    int | None, typer.Option(help="Decode so many of the model's tags per image, those that `ram shortlist` chose.")
]
