"""The pipeline: one module a stage, found by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from ram.pipeline.runner import StageCall, run_call


def stage_names() -> list[str]:
    """The modules of this package, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def stage_call(name: str) -> StageCall:
    """The stage called `name`, or `stage@item`; a `ValueError` that lists the known ones."""
    stage, _, item = name.partition("@")
    if stage not in stage_names():
        raise ValueError(f"unknown stage {stage!r}; known: {', '.join(stage_names())}")
    module = importlib.import_module(f"ram.stages.{stage}")
    items: Mapping[str, Mapping[str, str | None]] = getattr(module, "ITEMS", {})
    if bool(items) != bool(item) or (item and item not in items):
        known = ", ".join(f"{stage}@{known}" for known in items) or stage
        raise ValueError(f"stage {name!r} is not one of: {known}")
    return StageCall(module, stage, item or None)


def run_stage(name: str, params_path: Path = Path("params.yaml"), workspace: Path = Path()) -> None:
    """Run the stage called `name` in `workspace`; see `ram.pipeline.runner.run_call`."""
    run_call(stage_call(name), params_path, workspace)
