from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from flows.local_server import PORT, _free_port, prefect_api

ROOT = Path(__file__).resolve().parents[2]


def test_a_second_process_uses_the_server_that_runs_and_leaves_it_to_the_first(server_workspace: Path) -> None:
    code = "import pathlib, flows.local_server as s\nwith s.prefect_api(pathlib.Path()) as url: print(url)"
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=server_workspace,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    url = json.loads((server_workspace / ".state" / "prefect" / "server.json").read_text())["url"]
    assert done.stdout.strip() == url
    with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
        assert response.status == 200


def test_the_users_own_server_is_used_and_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    with prefect_api(tmp_path) as url:
        assert url == "http://prefect.example:4200/api"
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"ended with status 1; see .*server\.log"), prefect_api(tmp_path):
        raise AssertionError("not reached")


def test_another_port_is_taken_where_prefects_own_is_in_use() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        except OSError:
            pass  # somebody has it already, which is the case that is wanted
        assert _free_port() != PORT
