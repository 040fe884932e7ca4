"""`ram export`: a model as a file that runs without this project."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ExportFormat(StrEnum):
    """What the program is written as."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch_export"


def export(
    model: Annotated[str, typer.Argument(help="`champion`, a version, a checkpoint folder, or owner/name of the hub.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    output: Annotated[
        ExportFormat, typer.Option("--format", help="ONNX, or a program of torch.export.")
    ] = ExportFormat.ONNX,
    quantize: Annotated[bool, typer.Option("--quantize", help="ONNX: a second file with 8 bits a weight.")] = False,
) -> None:
    """Export images + tag embeddings -> logits, any number of both, and check it against the model."""
    from ram.inference.resolve_checkpoint import checkpoint_dir
    from ram.inference.runtimes.export import export_model
    from ram.inference.thresholds import thresholds_in
    from ram.model.checkpoint import load_checkpoint

    directory = checkpoint_dir(model)
    done = export_model(load_checkpoint(directory), thresholds_in(directory), out, output.value, quantize=quantize)
    for one in done:
        print(
            f"{one.path}: {one.num_bytes / 1e6:.1f} MB; logits up to {one.logits_off:.2g} from the model's, "
            f"which spread by {one.logits_spread:.2g}"
        )
