"""`ram stage` and `ram track`: what the pipeline calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def stage(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml, like parse_captions or check_tables@pairs.")],
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Run one stage in this folder, on the inputs that are there. `dvc repro` calls this for each stage that changed."""
    from ram.stages import run_stage

    run_stage(name, params)


def track() -> None:
    """Write the finished run to MLflow: parameters, curves, metrics, figures, reports, resources. Twice changes nothing."""
    from ram.registry.log import track

    print(f"MLflow run {track(Path())}")
