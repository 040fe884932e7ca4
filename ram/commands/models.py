"""`ram models`: the registered models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The registered models: list, register, promote, roll back.", no_args_is_help=True)


@app.command("list")
def models_list() -> None:
    """Registered versions, with their metrics and aliases."""
    from ram.registry import list_models

    for version in list_models(Path()):
        print(json.dumps(version, ensure_ascii=False, default=str))


@app.command("register")
def models_register() -> None:
    """Register the fine-tuned model of this workspace as `challenger`; the same model twice is one version."""
    from ram.registry import register

    print(f"version {register(Path())}")


@app.command("promote")
def models_promote(
    override: Annotated[
        str | None, typer.Option(help="Promote although a rule refuses; the reason, which goes on record.")
    ] = None,
) -> None:
    """Make the challenger the champion if it beats the champion on the evaluation set; says why if not."""
    from ram.registry import promote

    print(json.dumps(promote(Path(), override=override), indent=2, default=str))


@app.command("rollback")
def models_rollback(
    reason: Annotated[str, typer.Option(help="Why; goes on record.")] = "rolled back by hand",
) -> None:
    """Make the previous champion the champion again."""
    from ram.registry import rollback

    print(json.dumps(rollback(Path(), reason=reason), indent=2, default=str))
