from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State

from flows.pipeline import pipeline
from flows.stage_graph import StageFailed
from ram.reports.data import PAGE

pytestmark = pytest.mark.usefixtures("server_workspace")
ROOT = Path(__file__).resolve().parents[2]
Make = Callable[[dict[str, Any]], Path]


def _stage(name: str, *deps: str, code: str = "") -> dict[str, Any]:
    """A stage that notes its start in log.txt, runs `code`, and writes the file of its name."""
    script = f"open('log.txt','a').write('{name} '); {code or 'pass'}; open('{name}','w').write('1')"
    return {"cmd": f'{Path(sys.executable).name} -c "{script}"', "outs": [name], "deps": list(deps)}


def _task_states(state: State[Any]) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[_flow_run_id(state)]))
        return {run.name: str(run.state_name) for run in client.read_task_runs(flow_run_filter=wanted)}


def _artifacts(state: State[Any]) -> dict[str, Any]:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[_flow_run_id(state)]))
        return {str(found.key): found.data for found in client.read_artifacts(artifact_filter=wanted)}


def _flow_run_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


def test_stages_run_one_by_one_in_the_order_of_the_file_and_people_see_what_dvc_did(dvc_project: Make) -> None:
    workspace = dvc_project({"b": _stage("b", "a"), "a": _stage("a", "in"), "c": _stage("c", "in")})
    (workspace / "in").write_text("x")
    (workspace / "reports").mkdir()
    (workspace / "reports" / "evaluate.json").write_text(json.dumps({"finetuned": {"coco": {"mAP": 0.5, "note": "x"}}}))
    (workspace / "c").write_text("made by hand")  # its stage has to run all the same
    state = pipeline(workspace=workspace, publish=False, return_state=True)
    rows = state.result()
    assert (workspace / "log.txt").read_text().split() == ["a", "b", "c"]
    assert [(row["stage"], row["outcome"]) for row in rows] == [("a", "Ran"), ("b", "Ran"), ("c", "Ran")]
    shown = _artifacts(state)
    assert json.loads(shown["dvc-stages"]) == rows
    assert json.loads(shown["metrics"]) == [{"model": "finetuned", "benchmark": "coco", "mAP": 0.5}]
    assert f"sqlite:///{workspace}/.state/mlflow.db" in shown["where-to-look"]

    rows = pipeline(targets=["b"], force=["b"], workspace=workspace)
    assert [(row["stage"], row["outcome"]) for row in rows] == [("a", "Cached"), ("b", "Ran")]


def test_a_failed_stage_holds_up_those_below_it_and_no_other(dvc_project: Make) -> None:
    broken = _stage("a", code="raise ValueError('no images')")
    workspace = dvc_project({"a": broken, "b": _stage("b", "a"), "c": _stage("c")})
    state = pipeline(workspace=workspace, return_state=True)
    assert state.is_failed()
    with pytest.raises(StageFailed) as caught:
        state.result()
    assert "ValueError: no images\nnot run, since they wait for it: b" in str(caught.value)
    assert (workspace / "log.txt").read_text().split() == ["a", "c"]


def test_a_run_that_failed_has_its_page_of_the_datas_quality_and_one_without_data_fails_for_its_own_reason(
    dvc_project: Make, drawn_workspace: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_workspace / "data", tmp_path / "data")
    (tmp_path / "params.yaml").write_text("ingest_pairs: {max_hash_distance: 4}\n")
    workspace = dvc_project({"a": _stage("a", code="raise ValueError('no')")})
    with pytest.raises(StageFailed, match="no"):
        pipeline(workspace=workspace)
    assert (workspace / PAGE).is_file()
    (workspace / PAGE).unlink()
    shutil.rmtree(workspace / "data" / "pairs")  # now the page cannot be made
    with pytest.raises(StageFailed, match="no"):
        pipeline(workspace=workspace)
    assert not (workspace / PAGE).exists()


def test_a_failed_stage_is_tried_again_as_often_as_asked(dvc_project: Make) -> None:
    flaky = _stage("a", code="assert len(open('log.txt').read().split()) == 2")
    workspace = dvc_project({"a": flaky})
    state = pipeline(workspace=workspace, publish=False, retries=1, retry_delay_s=0.1, return_state=True)
    assert [row["outcome"] for row in state.result()] == ["Ran"]
    assert (workspace / "log.txt").read_text().split() == ["a", "a"]
    assert _task_states(state) == {"dvc:a": "Ran"}


def test_bad_data_is_not_tried_again_and_people_hear_of_it(dvc_project: Make) -> None:
    workspace = dvc_project({"a": _stage("a", code="print('error: 3 captions are empty'); exit(2)")})
    state = pipeline(workspace=workspace, publish=False, retries=3, retry_delay_s=0.1, return_state=True)
    assert state.is_failed()
    assert (workspace / "log.txt").read_text().split() == ["a"]
    [event] = [json.loads(line) for line in (workspace / ".state" / "events.jsonl").read_text().splitlines()]
    assert (event["event"], event["flow"]) == ("failed", "pipeline")
    assert "3 captions are empty" in event["text"]


def test_a_part_of_the_graph_runs_and_stages_to_keep_stay_as_they_are(dvc_project: Make) -> None:
    stages = {"a": _stage("a", "in"), "b": _stage("b", "a"), "c": _stage("c", "b"), "d": _stage("d", "c")}
    workspace = dvc_project(stages)
    (workspace / "in").write_text("x")
    pipeline(workspace=workspace, publish=False)
    for name in ("a", "c"):
        (workspace / name).write_text("new")  # DVC sees it as changed
    rows = pipeline(workspace=workspace, from_stage="b", to_stage="c", publish=False)
    assert [(row["stage"], row["outcome"]) for row in rows] == [("b", "Ran"), ("c", "Restored")]
    (workspace / "in").write_text("y")
    rows = pipeline(workspace=workspace, keep=["a", "b"], publish=False)
    assert {row["stage"]: row["outcome"] for row in rows} == {"a": "Kept", "b": "Kept", "c": "Cached", "d": "Cached"}
    with pytest.raises(ValueError, match="targets or to_stage, not both"):
        pipeline(workspace=workspace, targets=["a"], to_stage="b")


def test_the_progress_that_a_stage_prints_is_shown_beside_its_run(dvc_project: Make) -> None:
    workspace = dvc_project({"a": _stage("a", code="print('training: 3/12 step, 0.5 step/s, 18 s left, loss 0.25')")})
    shown = _artifacts(pipeline(workspace=workspace, publish=False, return_state=True))
    assert float(shown["progress-a"]) == 100.0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_ends_its_stage_at_once_and_lets_the_server_go(
    number: signal.Signals, status: int, server_workspace: Path, dvc_project: Callable[..., Path]
) -> None:
    code = (
        "import os, time; open('pid','w').write(str(os.getpid())); os.rename('pid','started'); open('out','w').write('1'); "
        "os.path.exists('quick') or time.sleep(600)"
    )
    before = {"cmd": "echo 1 > before", "outs": ["before"]}
    long = {"cmd": f'python -c "{code}"', "deps": ["before"], "outs": ["out"]}
    for left_over in ("started", "quick", "dvc.lock", "before", "out"):
        (server_workspace / left_over).unlink(missing_ok=True)
    dvc_project({"before": before, "long": long}, server_workspace)
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    running = subprocess.Popen(
        [sys.executable, "-m", "flows.pipeline"],
        cwd=server_workspace,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # a shell has it ignored in what it runs in the background, these tests perhaps
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (server_workspace / "started").exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.send_signal(number)
    assert running.wait(180) == status
    stage = Path("/proc", (server_workspace / "started").read_text(), "stat")
    assert not stage.exists() or stage.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    # the workspace is as a run finds it that was never interrupted: what was done stands, the rest is done now
    (server_workspace / "quick").touch()
    rows = pipeline(workspace=server_workspace, publish=False)
    assert [(row["stage"], row["outcome"]) for row in rows] == [("before", "Cached"), ("long", "Ran")]
    assert (server_workspace / "out").read_text() == "1"


def test_a_param_or_a_target_that_makes_no_sense_is_refused(dvc_project: Make) -> None:
    workspace = dvc_project({"a": _stage("a")})
    with pytest.raises(ValueError, match="max_parallel_stages must be at least 1, got 0"):
        pipeline(workspace=workspace, max_parallel_stages=0)
    with pytest.raises(ValueError, match="no stage 'z'"):
        pipeline(workspace=workspace, targets=["z"])
