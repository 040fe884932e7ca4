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
    Precision, typer.Option(help="bf16: about twice as fast where the processor has it, and nearly the same tags.")
]
ShortlistOption = Annotated[
    int | None, typer.Option(help="Decode so many of the model's tags a picture, those that `ram shortlist` chose.")
]
