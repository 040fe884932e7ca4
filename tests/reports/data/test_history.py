from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ram.reports.data import history

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_measures_again_add_nothing_and_others_do(tmp_path: Path) -> None:
    runs = [{"a": 1}, {"a": 1, "git_revision": "f00"}, {"a": 2}, {"a": 1}]
    added = [history.append(run, tmp_path, START + timedelta(hours=i)) for i, run in enumerate(runs)]
    assert added == [True, False, True, True]
    assert [run["a"] for run in history.read(tmp_path, 10)] == [1, 2, 1]
    assert [run["time"] for run in history.read(tmp_path, 2)] == [
        "2026-01-01T02:00:00+00:00",
        "2026-01-01T03:00:00+00:00",
    ]


def test_what_stands_there_is_never_changed(tmp_path: Path) -> None:
    history.append({"a": 1}, tmp_path, START)
    before = {path: path.read_bytes() for path in (tmp_path / history.HISTORY_DIR).iterdir()}
    history.append({"a": 2}, tmp_path, START + timedelta(seconds=1))
    assert len(list((tmp_path / history.HISTORY_DIR).iterdir())) == 2
    assert {path: path.read_bytes() for path in before} == before


def test_the_key_is_of_the_content_alone() -> None:
    assert history.content_key({"a": 1, "b": 2}) == history.content_key(
        {"b": 2, "a": 1, "time": "now", "dvc_lock": "x"}
    )
    assert history.content_key({"a": 1}) != history.content_key({"a": 1.5})


def test_there_is_no_history_before_the_first_run(tmp_path: Path) -> None:
    assert history.read(tmp_path, 5) == []
