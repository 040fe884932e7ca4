"""The command line: `ram --help`, or `python -m ram --help`."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ram.explain_command import explain
from ram.finetune_command import finetune
from ram.import_command import import_checkpoint
from ram.label_commands import app as labels_app

app = typer.Typer(
    name="ram",
    help="Train image taggers from image–caption pairs, and tag pictures with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
recipe_app = typer.Typer(help="Complete parameter files: list them, or choose one.", no_args_is_help=True)
models_app = typer.Typer(help="The registered models: list, register, promote, roll back.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
app.add_typer(labels_app, name="labels")
app.add_typer(models_app, name="models")
app.command("import-checkpoint")(import_checkpoint)
app.command()(finetune)
app.command()(explain)

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_PARAMS = typer.Option("--params", help="The parameter file.")


class OutputFormat(StrEnum):
    """How `ram tag` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command()
def tag(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    model: Annotated[
        str, typer.Option(help="`champion` (the registry's), a version, or a checkpoint folder.")
    ] = "champion",
    tags: Annotated[
        str | None, typer.Option(help="Score just these tags, known or new: names separated by commas.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="One threshold for all tags, 0 to 1; left out, each tag has its own.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="At most this many tags a picture.")] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print.")] = OutputFormat.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json: one object a line.")] = False,
) -> None:
    """Tag pictures. Ones that cannot be read are named at the end, and the exit status is then 1."""
    from ram.inference.tagger import load
    from ram.progress import track

    names = None if tags is None else [name.strip() for name in tags.split(",")]
    tagger = load(model)
    refused: list[str] = []
    show = _printer(OutputFormat.JSON if as_json else output)
    for path in track(list(_expand(pictures)), "tagging", unit="picture"):
        try:
            found = tagger([path], tags=names, threshold=threshold, top_k=top_k)[0]
        except OSError as error:  # the picture's fault, not the command's: go on, and say so at the end
            refused.append(f"{path}: {error}")
            continue
        show(path, found)
    for line in refused:
        print(f"not tagged: {line}", file=sys.stderr)
    if refused:
        raise typer.Exit(1)


def _expand(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        else:
            yield path


def _printer(output: OutputFormat) -> Any:
    writer = csv.writer(sys.stdout)

    def show(path: Path, found: list[Any]) -> None:
        if output is OutputFormat.JSON:
            rows = [
                {"name": t.name, "score": round(t.score, 4), "threshold": t.threshold, "kind": t.kind} for t in found
            ]
            print(json.dumps({"picture": str(path), "tags": rows}, ensure_ascii=False), flush=True)
        elif output is OutputFormat.CSV:
            writer.writerows([path, t.name, f"{t.score:.4f}", t.kind] for t in found)
        else:
            print(path)
            for t in found:
                print(f"  {t.score:6.3f}  {t.name}  ({t.kind})")

    return show


@app.command()
def stage(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml, like parse_captions or check_tables@pairs.")],
    params: Annotated[Path, _PARAMS] = Path("params.yaml"),
) -> None:
    """Run one stage in this folder, on the inputs that are there. `dvc repro` calls this for each stage that changed."""
    from ram.runner import run_stage

    run_stage(name, params)


@app.command()
def track() -> None:
    """Write the finished runs of this workspace to MLflow: parameters, curves, metrics, reports. Twice changes nothing."""
    from ram.tracking import track_run

    print(f"MLflow run {track_run(Path())}")


@recipe_app.command("list")
def recipe_list() -> None:
    """The recipes there are."""
    for path in sorted(Path("recipes").glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{path.stem:12} {first}")


@recipe_app.command("use")
def recipe_use(
    name: Annotated[str, typer.Argument(help="A recipe's name, or the path of a parameter file.")],
    params: Annotated[Path, _PARAMS] = Path("params.yaml"),
) -> None:
    """Make a recipe the active one: copy it to params.yaml."""
    source = Path(name) if name.endswith(".yaml") else Path("recipes", f"{name}.yaml")
    if not source.is_file():
        known = ", ".join(sorted(p.stem for p in Path("recipes").glob("*.yaml")))
        raise ValueError(f"no recipe {name!r}; known: {known}")
    shutil.copyfile(source, params)
    print(f"{params} is now {source}; `make run` or `dvc repro` runs it")


@models_app.command("list")
def models_list() -> None:
    """Registered versions, with their metrics and aliases."""
    from ram.registry import list_models

    for version in list_models(Path()):
        print(json.dumps(version, ensure_ascii=False, default=str))


@models_app.command("register")
def models_register() -> None:
    """Register the fine-tuned model of this workspace as `challenger`; the same model twice is one version."""
    from ram.registry import register

    print(f"version {register(Path())}")


@models_app.command("promote")
def models_promote(
    override: Annotated[
        str | None, typer.Option(help="Promote although a rule refuses; the reason, which goes on record.")
    ] = None,
) -> None:
    """Make the challenger the champion if it beats the champion on the evaluation set; says why if not."""
    from ram.registry import promote

    print(json.dumps(promote(Path(), override=override), indent=2, default=str))


@models_app.command("rollback")
def models_rollback(
    reason: Annotated[str, typer.Option(help="Why; goes on record.")] = "rolled back by hand",
) -> None:
    """Make the previous champion the champion again."""
    from ram.registry import rollback

    print(json.dumps(rollback(Path(), reason=reason), indent=2, default=str))


def main() -> None:
    """Run the command; a user's mistake is one readable message and exit status 2, not a traceback."""
    try:
        app()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
