from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.promotion import as_markdown, promotion
from ram.registry import packaging
from ram.tracking.server import champion_dir


@pytest.mark.usefixtures("server_workspace", "fake_tagger")
def test_the_model_of_a_finished_workspace_becomes_champion_and_a_second_run_changes_nothing(
    finished_workspace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(checkpoint: Path, path: Path, description: object) -> None:
        shutil.copytree(checkpoint, path / "artifacts" / packaging.CHECKPOINT)

    monkeypatch.setattr(packaging, "save", save)  # what MLflow adds to it has its own test
    monkeypatch.setattr(packaging, "try_out", lambda path: None)
    workspace = finished_workspace(mean_ap=0.5)
    assert promotion(workspace)["outcome"] == "first"
    assert promotion(workspace)["outcome"] == "unchanged"
    assert (champion_dir(workspace) / "model.safetensors").is_file()
    assert "is the first champion" in (workspace / ".state" / "events.jsonl").read_text()
    worse = promotion(finished_workspace(mean_ap=0.4, weights=b"worse"))
    assert (worse["outcome"], worse["champion"]) == ("refused", "1")


def test_a_decision_is_shown_with_every_rule() -> None:
    rules = [
        {"rule": "minimum", "passed": True, "detail": "0.4 against 0.3"},
        {"rule": "better", "passed": False, "detail": "0.4 against 0.5"},
    ]
    shown = as_markdown({"version": "2", "outcome": "refused", "rules": rules, "champion": "1", "previous": None})
    assert "## Version 2: refused" in shown
    assert "| better | **no** | 0.4 against 0.5 |" in shown
    assert shown.endswith("Champion: version 1. Before: none.")
