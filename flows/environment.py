"""The environment that Prefect and DVC run in: nothing is reported to anyone, and all state lies in the workspace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STATE_DIR = Path(".state")  # under the workspace: servers, tracking data base, decisions; git-ignored

NO_TELEMETRY = {
    "DO_NOT_TRACK": "true",  # the one spelling that every tool accepts
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",  # a library of DVC's, with a switch of its own
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def apply() -> None:
    """Set what the user has not set. Prefect's home lies in the workspace, so that no profile of the user changes."""
    if "PREFECT_HOME" not in os.environ:
        prefect_home(Path()).mkdir(parents=True, exist_ok=True)  # Prefect complains where it has to make the parent
    defaults = {
        **NO_TELEMETRY,
        "PREFECT_HOME": str(prefect_home(Path())),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def prefect_home(workspace: Path) -> Path:
    """Where Prefect keeps its data base and its log in `workspace`."""
    return (workspace / STATE_DIR / "prefect").resolve()


def child_environment() -> dict[str, str]:
    """The environment of DVC and its stages: `python` means this interpreter, and output comes line by line."""
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
