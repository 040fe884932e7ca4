"""What earlier runs were like: one small file a run, never changed, named by its time and its content.

Files of the workspace, and not MLflow: they are there when no tracking server is, when a check failed and the run was never
tracked, and on whichever server it was tracked. What MLflow gets are the same numbers (`ram track`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ram.io.tables import read_json, write_json

HISTORY_DIR = Path(".state", "quality")
_WHEN = ("time", "git_revision", "git_dirty", "dvc_lock")  # when and where, not what


def content_key(snapshot: Mapping[str, Any]) -> str:
    """12 hex digits that are the same for the same measures, whenever they were taken."""
    content = {name: value for name, value in snapshot.items() if name not in _WHEN}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def append(snapshot: Mapping[str, Any], workspace: Path, now: datetime | None = None) -> bool:
    """Add the snapshot unless the last one has the same content; whether it was added."""
    directory = workspace / HISTORY_DIR
    key = content_key(snapshot)
    paths = _paths(directory)
    if paths and paths[-1].stem.split("-")[1] == key:
        return False
    time = now or datetime.now(UTC)
    path = directory / f"{time:%Y%m%dT%H%M%S%f}-{key}.json"
    write_json({**snapshot, "time": time.isoformat(timespec="seconds")}, path)
    return True


def read(workspace: Path, last: int) -> list[dict[str, Any]]:
    """The `last` snapshots, the oldest first."""
    return [read_json(path) for path in _paths(workspace / HISTORY_DIR)[-last:]]


def _paths(directory: Path) -> list[Path]:
    return sorted(directory.glob("[0-9]*-*.json"))
