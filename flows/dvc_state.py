"""What a DVC that was killed leaves behind, mended before the next one starts: DVC writes these files in place.

`dvc.lock` may be cut short, and then nothing runs any more, or stages that are done count as never run. The list of paths
in use may be cut short, too, or name processes that are gone; where another process has got such a number since, which
after a restart of a machine or container is the rule, DVC would take it for the holder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from flows.environment import STATE_DIR
from ram.io.locks import exclusive
from ram.io.tables import write_text

_KEPT_DIR = Path(STATE_DIR, "dvc_lock")


def keep_lock_file(workspace: Path, stage: str) -> None:
    """Keep dvc.lock as it is before DVC works on `stage`, until `forget_lock_file` is called after it."""
    current = workspace / "dvc.lock"
    write_text(current.read_text(encoding="utf-8") if current.is_file() else "", _kept(workspace, stage))


def forget_lock_file(workspace: Path, stage: str) -> None:
    """DVC has ended in order: what it wrote is whole."""
    _kept(workspace, stage).unlink()


def _kept(workspace: Path, stage: str) -> Path:
    return workspace / _KEPT_DIR / f"{stage}.yaml"


def mend(workspace: Path, say: Callable[..., object]) -> None:
    """Mend what a killed DVC left in a workspace where none runs now, but for one that somebody started by hand."""
    for kept in sorted((workspace / _KEPT_DIR).glob("*.yaml"), key=lambda path: path.stat().st_mtime):
        if mend_lock_file(workspace, kept.stem):
            say("dvc.lock was cut short when stage %s was stopped; it is as it was before", kept.stem)
    if gone := forget_dead_holders(workspace):
        say("DVC's list of paths in use named processes that are gone: %s", ", ".join(map(str, sorted(gone))))


def mend_lock_file(workspace: Path, stage: str) -> bool:
    """Bring dvc.lock back where DVC was stopped while it wrote that of `stage`; whether that was needed."""
    kept = _kept(workspace, stage)
    if not kept.is_file():
        return False
    before, current = kept.read_text(encoding="utf-8"), workspace / "dvc.lock"
    cut_short = current.is_file() and not _is_whole(current.read_text(encoding="utf-8"), before)
    if cut_short and before:
        write_text(before, current)
    elif cut_short:
        current.unlink()
    kept.unlink()
    return cut_short


def _is_whole(text: str, before: str) -> bool:
    """Whether it is a lock file as DVC writes it that has every stage of the one before."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        stages = COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(text))["stages"]
    except (yaml.YAMLError, Invalid, KeyError):
        return False
    return not before or yaml.safe_load(before).get("stages", {}).keys() <= stages.keys()


def forget_dead_holders(workspace: Path) -> set[int]:
    """Remove from DVC's list of paths in use what is held by processes that are no DVC; their numbers."""
    folder = workspace / ".dvc" / "tmp"
    path = folder / "rwlock"
    if not path.is_file():
        return set()
    with exclusive(folder / "rwlock.lock"):  # DVC's own, of this file
        try:
            held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:  # cut short: whoever wrote it is gone
            path.unlink()
            return set()
        writers, readers = held.get("write", {}), held.get("read", {})
        pids = {info["pid"] for info in (*writers.values(), *(info for infos in readers.values() for info in infos))}
        gone = {pid for pid in pids if not _is_dvc(pid)}
        if gone:
            living = {p: [info for info in infos if info["pid"] not in gone] for p, infos in readers.items()}
            held = {
                "write": {p: info for p, info in writers.items() if info["pid"] not in gone},
                "read": {p: infos for p, infos in living.items() if infos},
            }
            write_text(json.dumps(held), path)
    return gone


def _is_dvc(pid: int) -> bool:
    try:
        return any(Path(word).name == "dvc" for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
