"""A work pool of processes with a worker of its own, as docs/operate.md sets it up: a run, and one that is cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling

from flows.pipeline import pipeline

ROOT = Path(__file__).resolve().parents[2]
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
TIMEOUT_S = 300.0
# notes its process, then waits until it may end
LONG = (
    "import os, time; open('pid','w').write(str(os.getpid())); os.rename('pid','started'); open('out','w').write('1'); "
    "os.path.exists('quick') or time.sleep(600)"
)


@pytest.fixture
def workspace(server_workspace: Path, dvc_project: Callable[..., Path]) -> Iterator[Path]:
    """The folder of the server as a workspace with the code, one deployment of the pipeline, and a worker for its pool."""
    for left_over in ("started", "quick", "dvc.lock", "before", "out"):
        (server_workspace / left_over).unlink(missing_ok=True)
    for code in ("flows", "ram"):
        if not (server_workspace / code).exists():
            (server_workspace / code).symlink_to(ROOT / code)
    stages = {
        "before": {"cmd": "echo 1 > before", "outs": ["before"]},
        "long": {"cmd": f'python -c "{LONG}"', "deps": ["before"], "outs": ["out"]},
    }
    workspace = dvc_project(stages, server_workspace)
    file = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    [entry] = [entry for entry in file["deployments"] if entry["name"] == "pipeline"]
    entry |= {"name": "by_worker", "schedules": [], "parameters": {"publish": False}}
    (workspace / "prefect.yaml").write_text(yaml.safe_dump({**file, "deployments": [entry]}))
    _prefect(workspace, "work-pool", "create", "--type", "process", "--overwrite", entry["work_pool"]["name"])
    _prefect(workspace, "deploy", "--all")
    with (workspace / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [*PREFECT, "worker", "start", "--pool", entry["work_pool"]["name"], "--limit", "1"],
            cwd=workspace, stdout=log, stderr=log, env={**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "2"},
            # Prefect ends by SIGINT, which a shell has ignored in what it runs in the background, these tests perhaps
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    yield workspace
    worker.terminate()
    worker.wait(60)


def _prefect(workspace: Path, *arguments: str) -> None:
    shell = {**os.environ, "PWD": str(workspace)}  # of a shell that stands there: prefect.yaml takes the folder from it
    done = subprocess.run([*PREFECT, *arguments], cwd=workspace, env=shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _start_run() -> UUID:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("pipeline/by_worker")
        return client.create_flow_run_from_deployment(deployment.id).id


def _wait(workspace: Path, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline, (workspace / "worker.log").read_text()
        time.sleep(0.2)


def _ended(run_id: UUID) -> StateType | None:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
    return state.type if state is not None and state.is_final() else None


@pytest.mark.slow
def test_a_worker_does_a_run_and_one_that_is_cancelled_leaves_a_workspace_that_goes_on(workspace: Path) -> None:
    cancelled = _start_run()
    _wait(workspace, (workspace / "started").exists)
    stage = Path("/proc", (workspace / "started").read_text())
    assert stage.exists()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(cancelled, Cancelling())  # what the button of Prefect's page does
    _wait(workspace, lambda: _ended(cancelled) is not None)
    assert _ended(cancelled) == StateType.CANCELLED
    _wait(workspace, lambda: not stage.exists() or "Z" in (stage / "stat").read_text().rsplit(")", 1)[1].split()[0])

    (workspace / "quick").touch()
    whole = _start_run()
    _wait(workspace, lambda: _ended(whole) is not None)
    assert _ended(whole) == StateType.COMPLETED
    assert (workspace / "out").read_text() == "1"
    rows = pipeline(workspace=workspace, publish=False)  # nobody holds the workspace, and nothing is left to do
    assert [(row["stage"], row["outcome"]) for row in rows] == [("before", "Cached"), ("long", "Cached")]
