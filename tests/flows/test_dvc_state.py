from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.dvc_state import forget_lock_file, keep_lock_file, mend
from flows.stage_graph import read_graph, repro

STAGES = {name: {"cmd": f"echo {name} > {name}", "outs": [name]} for name in ("one", "two", "three")}


@pytest.fixture
def workspace(dvc_project: Callable[..., Path]) -> Path:
    """One in which all stages have run."""
    made = dvc_project(STAGES)
    for stage in STAGES:
        repro(made, stage, lambda line: None)
    return made


def _said(workspace: Path) -> list[str]:
    lines: list[str] = []
    mend(workspace, lambda text, *args: lines.append(text % args))
    return lines


def test_a_lock_file_that_was_cut_short_is_brought_back_wherever_it_was_cut(workspace: Path) -> None:
    current = workspace / "dvc.lock"
    whole = current.read_text()
    for length in range(0, len(whole) - 1, 7):
        keep_lock_file(workspace, "three")
        current.write_text(whole[:length])
        said = _said(workspace)
        if whole[:length].count("\n  three:"):  # its own entry: what is left of it makes DVC run it again
            assert current.read_text() in (whole, whole[:length])
        else:
            assert said == ["dvc.lock was cut short when stage three was stopped; it is as it was before"]
            assert current.read_text() == whole
        read_graph(workspace)  # DVC can read it
        current.write_text(whole)
        assert _said(workspace) == []


def test_a_lock_file_that_is_whole_is_left_alone(workspace: Path) -> None:
    current = workspace / "dvc.lock"
    keep_lock_file(workspace, "two")
    current.write_text(current.read_text().replace("echo two", "echo  two"))  # as a stage that ran anew writes it
    changed = current.read_text()
    assert _said(workspace) == []
    assert current.read_text() == changed
    keep_lock_file(workspace, "two")
    forget_lock_file(workspace, "two")
    current.unlink()
    assert _said(workspace) == []  # no run was stopped: it was somebody's will


def _holder(pid: int) -> dict[str, Any]:
    return {"pid": pid, "cmd": "dvc repro one"}


def test_paths_that_no_dvc_holds_any_more_are_free_and_those_of_a_living_one_are_not(workspace: Path) -> None:
    path = workspace / ".dvc" / "tmp" / "rwlock"
    living = subprocess.Popen([sys.executable, "-c", "input()", "dvc"], stdin=subprocess.PIPE)
    other = os.getppid()  # lives, but is no DVC: it has got the number of one that was killed
    held = {
        "write": {"a": _holder(living.pid), "b": _holder(other)},
        "read": {"c": [_holder(other), _holder(living.pid)]},
    }
    path.write_text(json.dumps(held))
    assert _said(workspace) == [f"DVC's list of paths in use named processes that are gone: {other}"]
    assert json.loads(path.read_text()) == {"write": {"a": _holder(living.pid)}, "read": {"c": [_holder(living.pid)]}}
    living.communicate(b"\n")
    path.write_text(json.dumps(held)[:40])
    assert _said(workspace) == []
    assert repro(workspace, "one", lambda line: None).outcome == "Cached"
