"""A model of the tiny recipe is registered, and made anew by `ram reproduce` in a clone: the same metrics and weights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.workspaces import tiny
from ram.pipeline.params import load_yaml
from ram.registry import publish
from ram.registry.reproduce import Reproduction, commands_up_to, reproduce

ROOT = Path(__file__).resolve().parents[2]


def _git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


def _locked(definition: dict[str, Any]) -> dict[str, Any]:
    """The stages of a dvc.yaml as dvc.lock has them, without hashes."""
    stages: dict[str, Any] = {}
    for name, entry in definition["stages"].items():
        items = entry.get("foreach", {None: {}})
        for key in items:
            text = yaml.safe_dump(entry["do"] if key else entry)
            values = {"key": key, **{f"item.{k}": v for k, v in (items[key] or {}).items()}} if key else {}
            for what, value in values.items():
                text = text.replace(f"${{{what}}}", str(value))
            assert not re.search(r"\$\{", text)
            stage = yaml.safe_load(text)
            made = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
            stages[f"{name}@{key}" if key else name] = {
                "cmd": stage["cmd"],
                "deps": [{"path": path} for path in stage.get("deps", [])],
                "outs": [{"path": out if isinstance(out, str) else next(iter(out))} for out in made],
            }
    return stages


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of this code, in which the tiny recipe has run up to the evaluation."""
    folder = tmp_path_factory.mktemp("repository")
    # Of a checkout that belongs to another user, git says nothing unless it is told to.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    sections = tiny(load_yaml(ROOT / "recipes" / "sample.yaml"))
    sections["list_sources"]["sources"][0] |= {"num_train": 120, "num_finetune": 30, "num_dev": 30, "num_test": 30}
    sections["embed_images"]["num_views"] = 1
    sections["score_images"]["caption"] = sections["generate_tags"]["caption"] = None
    sections["promotion"] |= {"min_value": 0.0}
    (folder / "params.yaml").write_text(yaml.safe_dump(sections))
    locked = _locked(yaml.safe_load((ROOT / "dvc.yaml").read_text()))
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": locked}))
    _git(folder, "init", "-q")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "code")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    stages = list(commands_up_to(locked, "evaluate"))
    code = "import sys; from ram.stages import run_stage; [run_stage(name) for name in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-c", code, *stages], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.slow
def test_a_registered_version_is_made_anew_with_the_same_metrics_and_weights(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    version = publish.register(repository)
    assert publish.promote(repository)["outcome"] == "first"
    before = _git(repository, "status", "--porcelain")
    found = reproduce(version, repository)
    assert isinstance(found, Reproduction)
    assert found.differences == {}
    assert found.same_weights
    assert found.num_metrics > 10
    assert _git(repository, "status", "--porcelain") == before
