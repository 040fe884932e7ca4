"""The command line: `ram --help`, or `python -m ram --help`."""

from __future__ import annotations

import sys

import typer

from ram.cli import labels, models, recipe
from ram.cli.calibrate import calibrate
from ram.cli.evaluate import evaluate
from ram.cli.explain import explain
from ram.cli.export import export
from ram.cli.finetune import finetune
from ram.cli.import_checkpoint import import_checkpoint
from ram.cli.quality import quality
from ram.cli.reproduce import reproduce
from ram.cli.rescore import rescore
from ram.cli.serve import serve, serve_key
from ram.cli.shortlist import shortlist
from ram.cli.stage import stage, track
from ram.cli.tag import tag

app = typer.Typer(
    name="ram",
    help="Train image taggers from image–caption pairs, and tag images with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(tag)
app.command()(evaluate)
app.command()(explain)
app.command()(finetune)
app.command()(calibrate)
app.command()(shortlist)
app.command()(export)
app.command()(serve)
app.command("serve-key")(serve_key)
app.command("import-checkpoint")(import_checkpoint)
app.command()(rescore)
app.command()(reproduce)
app.command()(stage)
app.command()(track)
app.command()(quality)
app.add_typer(recipe.app, name="recipe")
app.add_typer(labels.app, name="labels")
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the command; a user's mistake is one readable message and exit status 2, not a traceback."""
    try:
        app()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
