"""What the project is installed from, what it asks of the network by itself, and where its secrets do not go."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ram.pipeline.notify import EVENTS_PATH, notify
from ram.pipeline.params import load_yaml
from ram.tracking.pipeline_run import track_run

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+==[^\s;]+(?: ;.*)?(?: --hash=sha256:[0-9a-f]{64})+")
# runs before anything else in a Python that has it on its path: only this machine may be spoken to
GUARD = """
import sys, os
def refuse(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in ("127.0.0.1", "::1", "localhost"):
        report(f"connect {args[1]}")
    if event == "socket.getaddrinfo" and args[0] not in (None, "127.0.0.1", "::1", "localhost", ""):
        report(f"look up {args[0]}")
def report(what):
    with open(os.environ["ASKED"], "a") as stream:
        stream.write(what + chr(10))
    raise OSError(f"the network is shut: {what}")
sys.addaudithook(refuse)
"""
EVERYTHING = """
import importlib, pkgutil, ram
for module in pkgutil.walk_packages(ram.__path__, "ram."):
    if not module.name.endswith(("__main__", "engine.ray", "serving.pyfunc")):
        importlib.import_module(module.name)
"""


def test_every_requirement_is_pinned_with_a_hash_and_none_by_an_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = text.replace(" \\\n    ", " ").splitlines()
    assert len(entries) > 100
    assert [entry for entry in entries if not REQUIREMENT.fullmatch(entry)] == []
    assert "://" not in text


@pytest.mark.slow
def test_nothing_is_asked_of_the_network_by_importing_by_the_help_and_by_stages(tmp_path: Path) -> None:
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    params = load_yaml(ROOT / "recipes" / "sample.yaml")
    params["list_sources"]["sources"][0] |= {"num_train": 12, "num_finetune": 2, "num_dev": 2, "num_test": 4}
    params["engine"] = {"kind": "local", "num_workers": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    stages = (
        "from ram.stages import run_stage; [run_stage(s) for s in ('list_sources', 'ingest_pairs', 'embed_images')]"
    )
    environment = {**os.environ, "PYTHONPATH": f"{guard}:{ROOT}", "ASKED": str(tmp_path / "asked")}
    asks = "import urllib.request; urllib.request.urlopen('http://example.org', timeout=1)"
    assert subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True).returncode == 1
    assert "example.org" in (tmp_path / "asked").read_text()  # the guard sees what is asked
    (tmp_path / "asked").unlink()
    for command in (["-c", EVERYTHING], ["-m", "ram", "--help"], ["-c", stages]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert not (tmp_path / "asked").exists(), (tmp_path / "asked").read_text()


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "hunter2-of-the-store",
    "PREFECT_API_KEY": "hunter2-of-prefect",
    "RAM_WEBHOOK_URL": "http://127.0.0.1:1/hook/hunter2-of-the-hook?token=hunter2-token",
    "PASSWORD": "hunter2-of-the-source",
}


def _leaks(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_secrets_of_the_environment_are_in_no_file_and_in_no_word_of_a_run(
    finished_workspace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = finished_workspace()
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    params = load_yaml(workspace / "params.yaml")
    path = "https://me:$PASSWORD@127.0.0.1:1/a.tar"
    params["list_sources"] = {"sources": [{"name": "web", "kind": "webdataset", "path": path}], "whole_hash_mib": 256}
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    track_run(workspace)
    notify("promoted", "version 2", {}, workspace)
    monkeypatch.setattr("ram.io.remote.NUM_TRIALS", 1)
    from ram.stages import run_stage

    with pytest.raises(Exception, match=r"me:\*\*\*@127.0.0.1") as caught:  # nobody listens there
        run_stage("list_sources", workspace / "params.yaml", workspace)
    assert "hunter2" not in str(caught.value)
    said = capfd.readouterr()
    assert "the web hook was not reached" in said.err
    assert "hunter2" not in said.out + said.err
    assert (workspace / EVENTS_PATH).is_file()
    assert _leaks(workspace) == []


def test_the_address_of_a_tracking_server_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.reporting import mlflow_command

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ml:hunter2@db/mlflow")
    assert mlflow_command(ROOT) == "mlflow ui --backend-store-uri postgresql://ml:***@db/mlflow"
