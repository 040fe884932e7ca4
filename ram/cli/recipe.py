"""`ram recipe`: complete parameter files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Complete parameter files: list them, or choose one.", no_args_is_help=True)


@app.command("list")
def recipe_list() -> None:
    """The recipes there are."""
    for path in sorted(Path("recipes").glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{path.stem:12} {first}")


@app.command("use")
def recipe_use(
    name: Annotated[str, typer.Argument(help="A recipe's name, or the path of a parameter file.")],
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Make a recipe the active one: copy it to params.yaml."""
    source = recipe_path(name)
    shutil.copyfile(source, params)
    print(f"{params} is now {source}; `make run` or `dvc repro` runs it")


def recipe_path(name: str, workspace: Path = Path()) -> Path:
    """The file of a recipe, by its name or its path; a `ValueError` that lists the known ones where there is none."""
    source = workspace / (name if name.endswith(".yaml") else f"recipes/{name}.yaml")
    if not source.is_file():
        known = ", ".join(sorted(p.stem for p in (workspace / "recipes").glob("*.yaml")))
        raise ValueError(f"no recipe {name!r}; known: {known}")
    return source
