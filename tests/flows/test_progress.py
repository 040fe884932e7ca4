from __future__ import annotations

import pytest

from flows.progress import progress_of
from ram.io.progress import _line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (_line("pretrain, epoch 2", 30, 120, "step", 10.0, lambda: "loss 0.5"), ("pretrain, epoch 2: loss 0.5", 25.0)),
        (_line("features", 4, 4, "shard", 10.0, None), ("features", 100.0)),
        (_line("hash files", 4, None, "file", 10.0, None), None),
        ("pretrain: 12.5 s", None),
        ("ratio: 3/0 parts, none, 0 s left", None),
        ("Running stage 'pretrain':", None),
    ],
)
def test_lines_of_progress_and_no_others_are_understood(line: str, shown: tuple[str, float] | None) -> None:
    assert progress_of(line) == shown
