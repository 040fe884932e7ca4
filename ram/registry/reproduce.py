"""A registered version made anew from what it names: its git revision, its parameters and its data, in a folder of its own.

The repository is cloned, so nothing of the user's tree, its data or its DVC cache is touched. Every stage that leads to
the evaluation runs; nothing is restored from a cache, since that would prove nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ram.io.tables import content_hash, read_json
from ram.pipeline.catalog import artifact
from ram.registry.promotion.evidence import data_hash
from ram.registry.publish import MODEL, facts_of, plain_metrics, run_of, version_called
from ram.tracking.provenance import toplevel
from ram.tracking.server import connect, fetch, model_dir

if TYPE_CHECKING:
    from ram.tracking.server import ModelVersion

FOLDER = Path(".state", "reproduced")
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Reproduction:
    """What came of it. `differences`: {metric: (registered, reproduced)} of those further apart than the tolerance."""

    version: str
    directory: str
    revision: str
    num_metrics: int
    differences: dict[str, tuple[float | None, float | None]]
    same_weights: bool  # bit for bit

    @property
    def same(self) -> bool:
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "same": self.same}


def reproduce(
    name: str, workspace: Path = Path(), into: Path | None = None, tolerance: float = 1e-6, run: bool = True
) -> Reproduction | Path:
    """Make the version called `name` anew in the folder `into` and compare; only the checked out folder without `run`.

    `ValueError` where the version names no revision, was made of code that is not in it or by stages that were kept from
    earlier runs, where the data is not that of the version any more, and where the folder is there already.
    """
    workspace = workspace.resolve()
    version = version_called(workspace, name)
    facts = facts_of(version)
    _require_reproducible(version, facts)
    directory = (into or workspace / FOLDER / f"v{version.version}").resolve()
    root = _check_out(workspace, facts["git_revision"], directory)
    client, _ = connect(workspace)
    for file in ("params.yaml", "dvc.lock"):
        with fetch(client, run_of(version), file) as path:
            shutil.copyfile(path, root / file)
    if not run:
        return root
    commands = commands_up_to(yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"], "evaluate")
    _run(commands, root, facts)
    found = plain_metrics(read_json(root / artifact("evaluation").path)[MODEL])
    weights = root / artifact(f"{MODEL}_model").path / _WEIGHTS
    registered = model_dir(str(version.version), workspace) / _WEIGHTS
    return Reproduction(
        version=str(version.version),
        directory=str(root),
        revision=facts["git_revision"],
        num_metrics=len(facts["metrics"]),
        differences=differences(facts["metrics"], found, tolerance),
        same_weights=weights.is_file() and content_hash(weights) == content_hash(registered),
    )


def differences(
    registered: Mapping[str, float], reproduced: Mapping[str, float], tolerance: float
) -> dict[str, tuple[float | None, float | None]]:
    """The metrics that are further apart than `tolerance`, or that one of the two lacks."""
    pairs = {name: (registered.get(name), reproduced.get(name)) for name in sorted({*registered, *reproduced})}
    return {name: (a, b) for name, (a, b) in pairs.items() if a is None or b is None or not abs(a - b) <= tolerance}


def _require_reproducible(version: ModelVersion, facts: Mapping[str, Any]) -> None:
    number = version.version
    if facts.get("git_revision", "none") == "none":
        raise ValueError(f"version {number} names no git revision: it was made outside a repository")
    if facts.get("code_dirty", facts.get("git_dirty")) == "true":
        raise ValueError(
            f"version {number} was made of code that differs from {facts['git_revision'][:12]}; commit before running"
        )
    if kept := facts.get("kept_stages"):
        raise ValueError(
            f"version {number} was made with stages kept from an earlier run: {', '.join(kept)}; their inputs of then are "
            "not those of the rest, so running everything anew would give another model. A whole run can be reproduced"
        )


def _check_out(workspace: Path, revision: str, directory: Path) -> Path:
    """Clone the repository at `revision`; the folder of the clone that stands for the workspace."""
    repository = toplevel(workspace)
    if repository is None:
        raise ValueError(f"{workspace} is in no git repository; run this in a clone that has revision {revision}")
    if directory.exists():
        raise ValueError(f"{directory} is there already; remove it, or name another folder with --into")
    directory.parent.mkdir(parents=True, exist_ok=True)
    _git("clone", "--quiet", "--no-checkout", str(repository), str(directory))
    try:
        _git("-C", str(directory), "checkout", "--quiet", "--detach", revision)
    except ValueError:
        shutil.rmtree(directory)
        raise
    return directory / workspace.relative_to(repository)


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")


def commands_up_to(locked: Mapping[str, Mapping[str, Any]], target: str) -> dict[str, str]:
    """{stage: its command} of a dvc.lock, of all that `target` needs, each after the stages whose outputs it reads."""
    if target not in locked:
        raise ValueError(f"dvc.lock has no stage {target!r}; it has {', '.join(locked)}")
    made_by = {out["path"]: stage for stage, entry in locked.items() for out in entry.get("outs", [])}
    ordered: dict[str, str] = {}

    def add(stage: str) -> None:
        for dep in locked[stage].get("deps", []):
            before = made_by.get(dep["path"])
            if before is not None and before not in ordered:
                add(before)
        ordered[stage] = locked[stage]["cmd"]

    add(target)
    return ordered


def _run(commands: Mapping[str, str], root: Path, facts: Mapping[str, Any]) -> None:
    """Run the stages in order; `ValueError` as soon as one fails, or the sources turn out to be other ones."""
    scripts = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([str(root), *_other_paths(root)]),
    }
    for number, (stage, command) in enumerate(commands.items(), 1):
        print(f"{number}/{len(commands)} {stage}", file=sys.stderr, flush=True)
        done = subprocess.run(command, shell=True, cwd=root, env=environment, check=False)
        if done.returncode:
            raise ValueError(f"stage {stage} ended with status {done.returncode} in {root}; its output says why")
        if stage == "list_sources" and (found := data_hash(root)) != facts.get("data_hash"):
            raise ValueError(
                f"the sources are not those of the version any more: their hash is {found}, it was "
                f"{facts.get('data_hash')}; {root / artifact('sources').path} lists them"
            )


def _other_paths(root: Path) -> Sequence[str]:
    """What PYTHONPATH has beside a copy of ram, whose place the revision's own takes."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in given if path and not Path(path, "ram", "__init__.py").is_file()]
