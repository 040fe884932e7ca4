"""What must hold of a workspace whose runs were killed: its artifacts, what runs leave behind, its MLflow and its DVC."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from ram.io.tables import content_hash, read_json
from ram.pipeline.catalog import CATALOG
from ram.tracking.server import MODEL_NAME, connect

# What tells when it was made, or how long that took: the rest of a page is compared by what it is made of.
TIMED = ("_docs", "report")


def artifacts(workspace: Path) -> dict[str, str]:
    """{artifact: hash of its content} of those that are there; but pages, which carry times."""
    names = [name for name in CATALOG if not name.endswith(TIMED[0]) and name != TIMED[1]]
    return {
        name: content_hash(workspace / CATALOG[name].path)
        for name in names
        if (workspace / CATALOG[name].path).exists()
    }


def differing(left: Mapping[str, str], right: Mapping[str, str]) -> list[str]:
    """The artifacts that differ, or that one of two workspaces lacks."""
    return [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]


def left_behind(workspace: Path) -> Iterator[str]:
    """Work in progress, temporary files, locks and processes that a workspace has when nothing runs there."""
    for stage in sorted((workspace / "data" / ".partial").glob("*/*")):
        if stage.is_dir():
            yield f"work in progress: {stage.relative_to(workspace)}"
    for pattern in (".*.tmp*", ".*.partial"):
        for path in sorted({*(workspace / "data").rglob(pattern), *(workspace / ".state").rglob(pattern)}):
            yield f"temporary: {path.relative_to(workspace)}"
    for lock in (workspace / ".state" / "pipeline.lock", workspace / ".dvc" / "tmp" / "lock"):
        if lock.exists() and not _is_free(lock):
            yield f"held: {lock.relative_to(workspace)}"
    held = json.loads((workspace / ".dvc" / "tmp" / "rwlock").read_text() or "{}")
    yield from (f"DVC {how}s {path}" for how, paths in held.items() for path in paths)
    if (workspace / ".state" / "prefect" / "server.json").exists():
        yield "a Prefect server is on record"
    yield from (f"process {p.pid} lives: {' '.join(p.cmdline())[:120]}" for p in processes_in(workspace))


def _is_free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def processes_in(workspace: Path) -> list[psutil.Process]:
    """The processes whose working folder is the workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == workspace:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # it has ended, or is another user's
    return found


def broken_in_cache(workspace: Path) -> list[str]:
    """The files of DVC's cache whose content is not that of their name."""
    root = workspace / ".dvc" / "cache" / "files" / "md5"
    named = [(path, path.parent.name + path.name) for path in sorted(root.rglob("*")) if path.is_file()]
    return [name for path, name in named if hashlib.md5(path.read_bytes()).hexdigest() != name.removesuffix(".dir")]


def out_of_date(workspace: Path, environment: Mapping[str, str]) -> list[str]:
    """The stages that DVC would run again, but for the one that it always runs."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, cwd=workspace, env=dict(environment), capture_output=True, text=True, check=True)
    return [stage for stage, why in json.loads(done.stdout).items() if why != ["always changed"]]


def mlflow_facts(workspace: Path) -> dict[str, Any]:
    """What MLflow has: runs by kind and status, models by status, versions a content, aliases, decisions."""
    client, experiment_id = connect(workspace)
    runs = client.search_runs([experiment_id], max_results=1000)
    versions = client.search_model_versions(f"name='{MODEL_NAME}'")
    aliases = client.get_registered_model(MODEL_NAME).aliases if versions else {}
    models = client.search_logged_models([experiment_id])
    decisions = sorted((workspace / ".state" / "decisions").glob("v*.json"))
    return {
        "runs": dict(sorted(Counter(f"{run.data.tags['kind']} {run.info.status}" for run in runs).items())),
        "complete": sum(run.data.tags.get("evidence") == "complete" for run in runs if run.info.status == "FINISHED"),
        "models": dict(Counter(str(model.status) for model in models)),
        "versions_a_content": sorted(Counter(v.tags["content"] for v in versions).values()),
        "contents": sorted(v.tags["content"] for v in versions),
        "aliases": {alias: str(number) for alias, number in sorted(aliases.items())},
        "decided": [json.loads(v.tags.get("decision_outcome", "null")) for v in versions],
        "decisions": [read_json(path)["outcome"] for path in decisions],
    }


def faults_of_mlflow(found: Mapping[str, Any], undisturbed: Mapping[str, Any]) -> Iterator[str]:
    """What a killed run must not leave in MLflow, and what must be as after an undisturbed one."""
    yield from (f"run {kind}" for kind in found["runs"] if kind.endswith(("RUNNING", "SCHEDULED")))
    yield from (f"model {status}" for status in found["models"] if "PENDING" in status)
    finished = {kind: n for kind, n in found["runs"].items() if kind.endswith("FINISHED")}
    if finished != undisturbed["runs"]:
        yield f"finished runs {finished}, undisturbed {undisturbed['runs']}"
    for name in ("complete", "versions_a_content", "contents", "aliases", "decided", "decisions"):
        if found[name] != undisturbed[name]:
            yield f"{name}: {found[name]}, undisturbed {undisturbed[name]}"
