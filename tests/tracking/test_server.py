from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ram.tracking import server

ROOT = Path(__file__).resolve().parents[2]


def test_the_users_tracking_server_comes_before_the_workspaces_data_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert server.tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/.state/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert server.tracking_uri(tmp_path) == "http://tracking.example:5000"


@pytest.mark.parametrize("uri", ["champion", "7", "models:/ram-tagger@champion", "models:/other/3"])
def test_a_model_that_is_not_registered_is_refused_with_what_to_do(
    uri: str, finished_workspace: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match="ram models register"):
        server.model_dir(uri, finished_workspace())


def test_importing_tracking_imports_no_mlflow() -> None:
    code = "import sys, ram.tracking.pipeline_run, ram.registry.publish; assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
