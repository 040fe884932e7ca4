"""Tracking, registering, promoting and rolling back, killed at step after step that writes: in the end all is well."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kills
import pytest
from kills import At, kill

from benchmarks.consistency import faults_of_mlflow
from ram.io.tables import read_json
from ram.registry.promotion.decision import DECISIONS_DIR

CLIENT = "mlflow:MlflowClient"
PUBLISHING = [
    At(CLIENT, "create_run", after=True),
    At("ram.tracking.pipeline_run", "_log_training", after=True),
    At(CLIENT, "create_logged_model", after=True),
    At(CLIENT, "create_model_version"),
    At(CLIENT, "create_model_version", after=True),
    At(CLIENT, "set_model_version_tag", nth=4),
    At("ram.registry.publish", "carry_out"),
    At(CLIENT, "set_registered_model_alias", nth=2, after=True),  # previous, after challenger and before champion
    At("ram.registry.promotion.transaction", "record"),
    At("ram.registry.promotion.transaction", "notify", after=True),
]
ROLLING_BACK = [
    At(CLIENT, "set_model_version_tag", after=True),
    At(CLIENT, "set_registered_model_alias", after=True),
    At("ram.registry.promotion.transaction", "record"),
]


def _done(function: Callable[[Path], None], workspace: Path) -> dict[str, Any]:
    """What MLflow says when it is done."""
    facts = workspace / "facts.json"
    assert kills.in_a_process(kills.then_tell, function, workspace, facts) == 0
    return read_json(facts)


@pytest.mark.slow
def test_publishing_and_rolling_back_that_are_killed_again_and_again_end_as_if_they_never_were(
    finished_workspace: Callable[..., Path], tmp_path: Path
) -> None:
    _done(kills.publish, finished_workspace(0.5, b"one"))
    workspace, copy = finished_workspace(0.6, b"two"), tmp_path.with_name(f"{tmp_path.name}-copy")
    shutil.copytree(workspace, copy)
    crowned, back = _done(kills.publish, workspace), _done(kills.roll_back, workspace)
    assert crowned["aliases"] == {"challenger": "2", "champion": "2", "previous": "1"}
    assert back["aliases"] == {"challenger": "2", "champion": "1"}

    shutil.rmtree(workspace)  # the data base names absolute paths: the copy takes its place
    shutil.copytree(copy, workspace)
    for at in PUBLISHING:
        kill(kills.publish, workspace, at=at)
    assert list(faults_of_mlflow(_done(kills.publish, workspace), crowned)) == []
    assert "version 2 is the champion now, in place of version 1" in (workspace / ".state/events.jsonl").read_text()
    for at in ROLLING_BACK:
        kill(kills.roll_back, workspace, at=at)
    assert list(faults_of_mlflow(_done(kills.roll_back, workspace), back)) == []  # one rollback, not two
    assert not (workspace / DECISIONS_DIR / "unfinished.json").exists()


@pytest.mark.slow
def test_the_data_base_of_mlflow_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # between two of MLflow's migrations: from there it could not go on by itself
    kill(kills.connect, tmp_path, at=At("alembic.runtime.migration:HeadMaintainer", "update_to_step", nth=20))
    assert not (tmp_path / ".state" / "mlflow.db").exists()
    assert kills.in_a_process(kills.connect, tmp_path) == 0
    assert sorted(path.name for path in (tmp_path / ".state").iterdir()) == ["mlflow.db", "mlflow.db.lock"]
