from __future__ import annotations

import sys

import pytest

from benchmarks import tag_memory


def test_the_table_shows_that_recomputed_chunks_save_next_to_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["tag_memory", "--tags", "60", "120", "--images", "1", "--chunk", "20"])
    tag_memory.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[float(cell) for cell in line.strip("| ").split("|")] for line in lines[2:4]]
    (few, at_once, *_), (many, at_once_later, *_) = rows
    assert (few, many) == (60, 120)
    assert at_once_later > 1.7 * at_once > 1
    assert all(row[4] < 0.2 * row[1] for row in rows)
    assert "1 images, chunks of 20" in lines[-1]
