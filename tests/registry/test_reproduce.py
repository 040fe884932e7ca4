from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ram.io.tables import read_json, write_json
from ram.registry import packaging, publish
from ram.registry.reproduce import Reproduction, commands_up_to, differences, reproduce

pytestmark = pytest.mark.usefixtures("fake_tagger")
Make = Callable[..., Path]

# Stands for the pipeline: a "model" is the text of the source and the seed, its mAP their number.
PIPELINE = """
import json, pathlib, sys, yaml
stage = sys.argv[1]
seed = yaml.safe_load(open("params.yaml"))["seed"]
if stage == "list_sources":
    pathlib.Path("data").mkdir(exist_ok=True)
    pathlib.Path("data/sources.json").write_text(json.dumps({"sources": [open(__import__("os").environ["SOURCE"]).read()]}))
elif stage == "finetune":
    pathlib.Path("data/models/finetuned").mkdir(parents=True)
    said = open("data/sources.json").read() + str(seed)
    pathlib.Path("data/models/finetuned/model.safetensors").write_text(said)
elif stage == "evaluate":
    made = len(open("data/models/finetuned/model.safetensors").read()) + seed + NUDGE
    pathlib.Path("reports").mkdir(exist_ok=True)
    pathlib.Path("reports/evaluate.json").write_text(json.dumps({"finetuned": {"drawn": {"mAP": made / 1000}}}))
"""


def _git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def registered(finished_workspace: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose "pipeline" has run and whose model is version 1; `SOURCE` names its data."""

    def save(checkpoint: Path, path: Path, description: object) -> None:
        shutil.copytree(checkpoint, path / "artifacts" / packaging.CHECKPOINT)

    monkeypatch.setattr(packaging, "save", save)
    monkeypatch.setattr(packaging, "try_out", lambda path: None)
    source = tmp_path.parent / f"{tmp_path.name}-source.txt"
    source.write_text("three images")
    monkeypatch.setenv("SOURCE", str(source))
    workspace = finished_workspace(0.5)
    shutil.rmtree(workspace / "data" / "models" / "finetuned")
    (workspace / "pipeline.py").write_text(PIPELINE.replace("NUDGE", "0"))
    (workspace / ".gitignore").write_text("data/\nreports/\n.state/\ndvc.lock\n")
    (workspace / "dvc.yaml").write_text("stages: {}\n")
    stages = {
        "finetune": {"deps": [{"path": "data/sources.json"}], "outs": [{"path": "data/models/finetuned"}]},
        "list_sources": {"outs": [{"path": "data/sources.json"}]},
        "evaluate": {"deps": [{"path": "data/models/finetuned"}], "outs": [{"path": "reports/evaluate.json"}]},
        "report": {"deps": [{"path": "reports/evaluate.json"}]},
    }
    for name, entry in stages.items():
        entry["cmd"] = f"{shlex.quote(sys.executable)} pipeline.py {name}"  # type: ignore[assignment]
    (workspace / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    _git(workspace, "init", "-q")
    _git(workspace, "add", "pipeline.py", ".gitignore", "dvc.yaml", "params.yaml")
    _git(workspace, "commit", "-q", "-m", "first")
    for stage in ("list_sources", "finetune", "evaluate"):
        subprocess.run([sys.executable, "pipeline.py", stage], cwd=workspace, check=True)
    model = workspace / "data" / "models" / "finetuned"
    write_json({"width": 8}, model / "config.json")
    shutil.copy(workspace / "data" / "label_system.json", model / "label_system.json")
    publish.register(workspace)
    return workspace


def test_a_version_comes_out_the_same_though_the_tree_has_moved_on(registered: Path, tmp_path: Path) -> None:
    revision = _git(registered, "rev-parse", "HEAD")
    (registered / "pipeline.py").write_text(PIPELINE.replace("NUDGE", "100"))
    (registered / "params.yaml").write_text((registered / "params.yaml").read_text().replace("seed: 7", "seed: 9"))
    _git(registered, "commit", "-q", "-a", "-m", "second")
    tree = {path: path.read_bytes() for path in registered.iterdir() if path.is_file()}
    found = reproduce("1", registered, tmp_path / "anew")
    assert isinstance(found, Reproduction)
    assert (found.version, found.revision, found.differences) == ("1", revision, {})
    assert found.same_weights
    assert not (tmp_path / "anew" / "reports" / "report").exists()
    assert {path: path.read_bytes() for path in tree} == tree
    assert _git(registered, "rev-parse", "HEAD") != revision
    assert not _git(registered, "worktree", "list", "--porcelain").count("anew")
    with pytest.raises(ValueError, match="is there already"):
        reproduce("1", registered, tmp_path / "anew")


def test_code_that_gives_other_metrics_is_found_out(registered: Path, tmp_path: Path) -> None:
    client, _ = publish.connect(registered)
    (registered / "pipeline.py").write_text(PIPELINE.replace("NUDGE", "100"))
    _git(registered, "commit", "-q", "-a", "-m", "second")
    client.set_model_version_tag(publish.MODEL_NAME, "1", "git_revision", _git(registered, "rev-parse", "HEAD"))
    found = reproduce("1", registered, tmp_path / "anew")
    assert isinstance(found, Reproduction)
    [(name, (before, after))] = found.differences.items()
    assert name == "drawn/mAP"
    assert before is not None
    assert after == pytest.approx(before + 0.1)
    assert not found.same


def test_params_that_were_never_committed_are_those_of_the_version(registered: Path, tmp_path: Path) -> None:
    root = reproduce("1", registered, tmp_path / "anew", run=False)
    assert isinstance(root, Path)
    (root / "params.yaml").unlink()
    changed = registered / "params.yaml"
    changed.write_text(changed.read_text().replace("seed: 7", "seed: 8"))
    shutil.rmtree(registered / "data" / "models" / "finetuned")
    for stage in ("finetune", "evaluate"):
        subprocess.run([sys.executable, "pipeline.py", stage], cwd=registered, check=True)
    model = registered / "data" / "models" / "finetuned"
    write_json({"width": 8}, model / "config.json")
    shutil.copy(registered / "data" / "label_system.json", model / "label_system.json")
    (registered / "dvc.lock").write_text((registered / "dvc.lock").read_text() + "\n")
    version = publish.register(registered)
    facts = {row["version"]: row for row in publish.list_models(registered)}[version]
    assert (facts["git_dirty"], facts["code_dirty"]) == ("true", "false")
    found = reproduce(version, registered, tmp_path / "again")
    assert isinstance(found, Reproduction)
    assert found.same
    assert read_json(tmp_path / "again" / "reports" / "evaluate.json") == read_json(
        registered / "reports" / "evaluate.json"
    )


def test_data_that_is_not_what_it_was_stops_it_before_any_training(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("four images")
    monkeypatch.setenv("SOURCE", str(other))
    with pytest.raises(ValueError, match="the sources are not those of the version any more"):
        reproduce("1", registered, tmp_path / "anew")
    assert not (tmp_path / "anew" / "data" / "models").exists()


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"git_revision": "none"}, "names no git revision"),
        ({"code_dirty": "true"}, "was made of code that differs from"),
        ({"kept_stages": '["pretrain"]'}, "stages kept from an earlier run: pretrain"),
    ],
)
def test_what_cannot_be_reproduced_is_said(
    tags: dict[str, str], message: str, registered: Path, tmp_path: Path
) -> None:
    client, _ = publish.connect(registered)
    for name, value in tags.items():
        client.set_model_version_tag(publish.MODEL_NAME, "1", name, value)
    with pytest.raises(ValueError, match=message):
        reproduce("1", registered, tmp_path / "anew")
    assert not (tmp_path / "anew").exists()


def test_commands_come_in_the_order_of_what_they_read_and_no_others() -> None:
    locked = {
        "c": {"cmd": "make c", "deps": [{"path": "b"}, {"path": "a"}, {"path": "code.py"}], "outs": [{"path": "c"}]},
        "b": {"cmd": "make b", "deps": [{"path": "a"}], "outs": [{"path": "b"}]},
        "a": {"cmd": "make a", "outs": [{"path": "a"}]},
        "d": {"cmd": "make d", "deps": [{"path": "c"}]},
    }
    assert list(commands_up_to(locked, "c").items()) == [("a", "make a"), ("b", "make b"), ("c", "make c")]
    with pytest.raises(ValueError, match="no stage 'e'; it has c, b, a, d"):
        commands_up_to(locked, "e")


def test_a_metric_that_only_one_has_or_that_is_no_number_differs() -> None:
    found = differences({"a": 1.0, "b": 2.0, "c": float("nan")}, {"a": 1.0 + 1e-9, "d": 3.0, "c": float("nan")}, 1e-6)
    assert set(found) == {"b", "c", "d"}
    assert found["d"] == (None, 3.0)
