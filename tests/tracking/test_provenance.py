from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from ram.tracking.provenance import locked_stages, read_provenance, stages_of_other_inputs


def _git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_outside_git_and_before_the_first_commit_there_is_no_revision(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    assert read_provenance(tmp_path).revision == "none"
    _git(tmp_path, "init", "-q")
    assert read_provenance(tmp_path).tags()["git_revision"] == "none"
    assert locked_stages(tmp_path) == {}


def test_code_that_was_changed_after_the_commit_is_dirty_and_a_new_lock_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("one")
    (tmp_path / "params.yaml").write_text("seed: 1")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    first = read_provenance(tmp_path)
    assert (first.revision, first.dirty) == (_git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "dvc.lock").write_text("two")
    second = read_provenance(tmp_path)
    assert not second.dirty
    assert second.lock_hash != first.lock_hash
    (tmp_path / "params.yaml").write_text("seed: 2")
    tags = read_provenance(tmp_path).tags()
    assert (tags["git_dirty"], tags["code_dirty"]) == ("true", "false")
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    assert read_provenance(tmp_path).tags()["code_dirty"] == "true"


def test_a_stage_that_ran_on_what_was_there_before_is_found(tmp_path: Path) -> None:
    old, new = "0" * 32, "1" * 32
    stages = {
        "make": {"outs": [{"path": "a", "md5": new}]},
        "fresh": {"deps": [{"path": "a", "md5": new}], "outs": [{"path": "b", "md5": old}]},
        "stale": {"deps": [{"path": "b", "md5": old}, {"path": "a", "md5": old}, {"path": "code", "md5": old}]},
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    assert stages_of_other_inputs(tmp_path) == ["stale"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": {}, "fresh": {}}}))
    assert stages_of_other_inputs(tmp_path) == []  # the stage is gone from the graph


def test_where_nothing_has_run_this_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing has run here yet"):
        read_provenance(tmp_path)
