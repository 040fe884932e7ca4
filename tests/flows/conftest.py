"""A Prefect server for all tests of the flows, and small DVC projects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.local_server import prefect_api


@pytest.fixture(scope="session")
def server_workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace whose Prefect server runs; this process talks to it. It is gone after the last test."""
    os.environ.pop("PREFECT_API_URL", None)
    workspace = tmp_path_factory.mktemp("server")
    with prefect_api(workspace):
        yield workspace
    assert not (workspace / ".state" / "prefect" / "server.json").exists()


@pytest.fixture
def dvc_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes `tmp_path`, or the folder given, a DVC project without git, of the stages given as in dvc.yaml."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".state" / "dvc"))

    def make(stages: dict[str, Any], directory: Path = tmp_path) -> Path:
        from dvc.repo import Repo

        (directory / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        Repo.init(str(directory), no_scm=True, force=True).close()
        return directory

    return make
