"""One run at a time in a workspace, and the parameters it works by."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from flows.dvc_state import mend
from flows.environment import STATE_DIR
from flows.processes import held_with_children
from ram.cli.recipe import recipe_path
from ram.io.tables import write_text
from ram.pipeline.params import load_yaml

PARAMS = "params.yaml"


@contextmanager
def workspace_alone(workspace: Path, warn: Callable[..., object]) -> Iterator[None]:
    """Hold the workspace; where another run holds it, whichever flow it is of, wait for that one and say so."""

    def waiting() -> None:
        warn("another run of the pipeline works in %s; waiting for it", workspace)

    with held_with_children(workspace / STATE_DIR / "pipeline.lock", waiting):
        mend(workspace, warn)
        yield


def use_recipe(workspace: Path, name: str, say: Callable[..., object]) -> None:
    """Make a recipe the active one; parameters that no recipe has are kept in `.state` before they are written over."""
    source, target = recipe_path(name, workspace), workspace / PARAMS
    if target.is_file():
        present = target.read_bytes()
        if present == source.read_bytes():
            return
        if all(present != recipe.read_bytes() for recipe in (workspace / "recipes").glob("*.yaml")):
            kept = workspace / STATE_DIR / f"{PARAMS}.before"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(present)
            say("%s had parameters of its own; they are in %s now", target, kept)
    shutil.copyfile(source, target)
    say("%s is %s now", target, source)


def set_param(workspace: Path, section: str, parameter: str, value: str) -> None:
    """Write one parameter of params.yaml, and change no other character: comments are people's.

    `ValueError` where the file does not hold it as `parameter: value` in that section.
    """
    path = workspace / PARAMS
    wanted = load_yaml(path)
    if wanted[section][parameter] == value:
        return
    wanted[section][parameter] = value
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(
        rf"^({re.escape(section)}:.*?\b{re.escape(parameter)}:[ ]*)[^\s,}}#]+", re.MULTILINE | re.DOTALL
    )
    changed = pattern.sub(lambda found: found[1] + value, text, count=1)
    if yaml.safe_load(changed) != wanted:
        raise ValueError(f"{path} does not say {section}.{parameter} plainly; set it to {value} by hand and run again")
    write_text(changed, path)
