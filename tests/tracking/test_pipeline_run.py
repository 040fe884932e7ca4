from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ram.tracking.pipeline_run import flat_metrics, track_run
from ram.tracking.server import connect


def test_a_finished_run_is_tracked_once_with_its_models_curves_parameters_data_and_files(
    finished_workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = finished_workspace(mean_ap=0.5)
    run_id = track_run(workspace)
    missing = capsys.readouterr().err
    assert track_run(workspace) == run_id
    client, experiment = connect(workspace)
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {"finetuned", next(name for name in runs if name.startswith("pipeline-"))}
    parent, child = client.get_run(run_id), runs["finetuned"]
    assert parent.data.metrics == {
        "preliminary/drawn/mAP": 0.1,
        "finetuned/drawn/mAP": 0.5,
        "finetuned/drawn/F1": 0.25,
        "finetuned/drawn/num_tags": 4.0,
    }
    assert child.data.tags["mlflow.parentRunId"] == run_id
    assert child.data.params == {"finetune.epochs": "3", "model.width": "8", "model.loss.gamma": "2.0", "seed": "7"}
    assert child.data.metrics["dev/mAP _all_"] == 0.5
    assert "dev/mAP_unseen" not in child.data.metrics
    losses = client.get_metric_history(child.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in losses] == [(step, 1.0 / (step + 1)) for step in range(25)]
    [read] = child.inputs.dataset_inputs
    assert (read.dataset.name, read.dataset.digest) == ("labels", "0123456789abcdef0123456789abcdef")
    files = {file.path for file in client.list_artifacts(run_id)}
    assert files == {"evaluate.json", "thresholds.json", "label_system.json", "params.yaml", "dvc.lock"}
    for name in ("report", "pairs_check", "stage pretrain"):
        assert name in missing
        assert name in parent.data.tags["missing"]


def test_other_results_are_another_run(finished_workspace: Callable[..., Path]) -> None:
    first = track_run(finished_workspace(weights=b"one"))
    assert track_run(finished_workspace(weights=b"two")) != first


def test_a_run_that_could_not_be_written_is_marked_failed_and_written_anew(
    finished_workspace: Callable[..., Path],
) -> None:
    workspace = finished_workspace()
    params = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").unlink()
    with pytest.raises(ValueError, match="no params file"):
        track_run(workspace)
    (workspace / "params.yaml").write_text(params)
    run_id = track_run(workspace)
    client, experiment = connect(workspace)
    states = {run.info.run_id: run.info.status for run in client.search_runs([experiment], "tags.kind = 'pipeline'")}
    assert states.pop(run_id) == "FINISHED"
    assert list(states.values()) == ["FAILED"]


def test_nothing_is_tracked_where_nothing_ran(finished_workspace: Callable[..., Path]) -> None:
    workspace = finished_workspace()
    (workspace / "dvc.lock").unlink()
    with pytest.raises(ValueError, match="nothing has run here yet"):
        track_run(workspace)


def test_names_of_metrics_are_ones_that_mlflow_takes() -> None:
    document = {
        "model": {"OpenImages (rare)": {"mAP": 0.5, "mAP@unseen": 1, "ok": True, "none": None, "nan": float("nan")}}
    }
    assert flat_metrics(document) == {
        "model/OpenImages _rare_/mAP": 0.5,
        "model/OpenImages _rare_/mAP_unseen": 1.0,
    }
