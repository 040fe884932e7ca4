"""Where the artifacts of a workspace come from: the state of git, and what dvc.lock says of every stage."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# What decides the results; dvc.lock and the reports are written by every run and say nothing about the code. The parameters
# of a run are kept with it, so that other parameters than the committed ones can be reproduced; other code cannot.
_CODE = ("ram", "dvc.yaml", "data/vocabularies", "data/reviews")
_PARAMS = "params.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """`revision` is git's commit, "none" outside git; `dirty`: code or parameters differ from it, `code_dirty`: the code does;
    `lock_hash` is of dvc.lock.
    """

    revision: str
    dirty: bool
    code_dirty: bool
    lock_hash: str

    def tags(self) -> dict[str, str]:
        return {
            "git_revision": self.revision,
            "git_dirty": str(self.dirty).lower(),
            "code_dirty": str(self.code_dirty).lower(),
            "dvc_lock": self.lock_hash,
        }


def read_provenance(workspace: Path) -> Provenance:
    """Where the workspace's artifacts come from; a `ValueError` where no pipeline has run."""
    lock_hash = hashlib.sha256(_lock_path(workspace).read_bytes()).hexdigest()[:16]
    revision = _git(workspace, "rev-parse", "--verify", "HEAD")
    code_dirty = bool(revision and _git(workspace, "status", "--porcelain", "--", *_CODE))
    dirty = code_dirty or bool(revision and _git(workspace, "status", "--porcelain", "--", _PARAMS))
    return Provenance(revision=revision or "none", dirty=dirty, code_dirty=code_dirty, lock_hash=lock_hash)


def toplevel(workspace: Path) -> Path | None:
    """The folder of the git repository that `workspace` is in; None where it is in none."""
    found = _git(workspace, "rev-parse", "--show-toplevel")
    return Path(found).resolve() if found else None


def locked_stages(workspace: Path) -> dict[str, dict[str, Any]]:
    """{stage: its entry in dvc.lock: `deps`, `outs` with path and md5, `params`}."""
    return yaml.safe_load(_lock_path(workspace).read_text(encoding="utf-8")).get("stages") or {}


def stages_of_other_inputs(workspace: Path) -> list[str]:
    """The stages of dvc.lock that ran on other artifacts than the lock has of the stages before them.

    They were left as they are on purpose (`keep` of the flow `pipeline`), or a run ended before their turn.
    """
    defined = workspace / "dvc.yaml"
    known = yaml.safe_load(defined.read_text(encoding="utf-8"))["stages"] if defined.is_file() else None
    # DVC leaves entries of stages that dvc.yaml has no more
    stages = {n: e for n, e in locked_stages(workspace).items() if known is None or n.partition("@")[0] in known}
    made = {path: md5 for entry in stages.values() for path, md5 in digests(entry.get("outs", [])).items()}
    return [
        name
        for name, entry in stages.items()
        if any(made.get(path, md5) != md5 for path, md5 in digests(entry.get("deps", [])).items())
    ]


def digests(entries: list[Mapping[str, Any]]) -> dict[str, str]:
    """{path: md5} of the `deps` or `outs` of a stage in dvc.lock."""
    return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}


def _lock_path(workspace: Path) -> Path:
    path = workspace / "dvc.lock"
    if not path.is_file():
        raise ValueError(f"no {path}: nothing has run here yet; `make run` or `dvc repro` does")
    return path


def _git(workspace: Path, *arguments: str) -> str:
    """What git prints; "" where this is no repository, it has no commit, or git is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(workspace), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
