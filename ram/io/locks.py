"""Locks that end with the process that holds them, so that one that was killed holds nothing up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, while_waiting: Callable[[], object] | None = None) -> Iterator[int]:
    """Hold the lock file at `path` alone; `while_waiting` is called once where another process holds it.

    The file stays: removed, it could be made anew while another process waits for the old one. Its descriptor comes back:
    a child that is given it holds the lock as well, for as long as it lives.
    """
    import fcntl  # not on Windows, where tagging works and pipelines do not run

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if while_waiting:
                while_waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()  # closing the file frees the lock, also when the process dies
