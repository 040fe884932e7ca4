from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.data_quality import ChecksFailed, data_quality

pytestmark = pytest.mark.usefixtures("server_workspace")


COPY = "import pathlib, sys; p = pathlib.Path(sys.argv[2]); p.parent.mkdir(parents=True, exist_ok=True)"


def _project(make: Callable[..., Path], directory: Path, failures: list[str]) -> Path:
    """A graph whose checks copy reports that are made here, and a stage that trains on what was checked."""
    for table, found in (("pairs", failures), ("parsed_tags", [])):
        report = {"passed": not found, "failures": found, "num_rows": 3, "notes": ["Drift: 0.01 bits."]}
        (directory / f"{table}.in").write_text(json.dumps(report))
    out = "reports/checks/${item}.json"
    copy = f'python -c "{COPY}; p.write_text(open(sys.argv[1]).read())" ${{item}}.in {out}'
    check = {"foreach": ["pairs", "parsed_tags"], "do": {"cmd": copy, "deps": ["${item}.in"], "outs": [out]}}
    train = {"cmd": "touch trained", "deps": ["reports/checks/pairs.json"], "outs": ["trained"]}
    return make({"check_tables": check, "train": train})


def test_tables_are_checked_and_nothing_is_trained(dvc_project: Callable[..., Path], tmp_path: Path) -> None:
    workspace = _project(dvc_project, tmp_path, [])
    rows = data_quality(workspace)
    assert [(row["table"], row["passed"], row["notes"]) for row in rows] == [
        ("pairs", True, "Drift: 0.01 bits."),
        ("parsed_tags", True, "Drift: 0.01 bits."),
    ]
    assert not (workspace / "trained").exists()


def test_a_table_that_breaks_a_rule_fails_the_run_which_people_hear_of(
    dvc_project: Callable[..., Path], tmp_path: Path
) -> None:
    workspace = _project(dvc_project, tmp_path, ["3 captions are empty"])
    state = data_quality(workspace, return_state=True)
    assert state.is_failed()
    with pytest.raises(ChecksFailed, match="pairs: 3 captions are empty"):
        state.result()
    [event] = [json.loads(line) for line in (workspace / ".state" / "events.jsonl").read_text().splitlines()]
    assert (event["event"], event["flow"]) == ("failed", "data_quality")
    assert "3 captions are empty" in event["text"]
