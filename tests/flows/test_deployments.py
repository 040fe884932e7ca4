from __future__ import annotations

import importlib
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client

from flows.deployments import read_deployments, to_runner_deployment

ROOT = Path(__file__).resolve().parents[2]


def test_the_deployments_of_the_project_can_be_served() -> None:
    entries = {entry["name"]: entry for entry in read_deployments(ROOT / "prefect.yaml")}
    assert set(entries) == {"pipeline", "data_quality", "promotion", "rescore"}
    nightly = to_runner_deployment(entries["pipeline"])
    [schedule] = nightly.schedules or []
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 3 * * *", "UTC")
    assert nightly.concurrency_limit == 1
    assert nightly.concurrency_options.collision_strategy.value == "CANCEL_NEW"
    assert nightly.entrypoint == "flows.pipeline.pipeline"
    by_hand = to_runner_deployment(entries["promotion"])
    assert not by_hand.schedules
    assert by_hand.concurrency_options.collision_strategy.value == "ENQUEUE"


@pytest.mark.parametrize("entry", read_deployments(ROOT / "prefect.yaml"), ids=lambda entry: entry["name"])
def test_the_parameters_of_a_deployment_are_those_of_its_flow(entry: dict[str, Any]) -> None:
    file, _, name = entry["entrypoint"].partition(":")
    served = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
    served.validate_parameters(entry["parameters"])
    assert entry["parameters"].keys() <= inspect.signature(served.fn).parameters.keys()
    assert entry["concurrency_limit"]["limit"] == 1


def test_a_folder_without_deployments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run this in the folder of the pipeline"):
        read_deployments(tmp_path / "prefect.yaml")


@pytest.mark.slow
def test_a_run_that_is_due_is_started_and_does_the_stages(
    server_workspace: Path, dvc_project: Callable[..., Path]
) -> None:
    first = {"cmd": "python -c \"open('a.txt','w').write('1')\"", "outs": ["a.txt"]}
    second = {
        "cmd": "python -c \"open('b.txt','w').write(open('a.txt').read())\"",
        "deps": ["a.txt"],
        "outs": ["b.txt"],
    }
    workspace = dvc_project({"first": first, "second": second}, server_workspace)
    deployment = {
        "name": "often",
        "entrypoint": "flows/pipeline.py:pipeline",
        "parameters": {"publish": False},
        "schedules": [{"interval": 5}],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
    }
    (workspace / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [deployment]}))
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    with (workspace / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            [sys.executable, "-m", "flows.deployments"],
            cwd=workspace,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        assert _wait_for_a_completed_run("often", 120), (workspace / "serve.log").read_text()
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(60)
    assert (workspace / "b.txt").read_text() == "1"


def _wait_for_a_completed_run(name: str, timeout_s: float) -> bool:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(deployment_filter=wanted)
        if any(run.state is not None and run.state.is_completed() for run in runs):
            return True
        time.sleep(0.5)
    return False
