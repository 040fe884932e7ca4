"""Child processes that end with everything they started, and the locks that they hold with the process that runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ram.io.locks import exclusive

GRACE_S = 10.0  # between asking a process group to end and ending it


_streaming: set[subprocess.Popen[str]] = set()  # the children of `stream`, in whichever thread
_inherited: set[int] = set()  # descriptors of locks that they hold as well


@dataclass(frozen=True)
class Finished:
    """What a child did: its exit status, the lines it printed, and whether its time ran out."""

    returncode: int
    lines: list[str]
    timed_out: bool


def stream(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], object],
    timeout_s: float | None = None,
) -> Finished:
    """Run `command` in a process group of its own; `on_line` gets each line of its output when it is printed.

    The whole group is ended when `timeout_s` is over, and when this function is left in any other way, so that no
    grandchild outlives the task.
    """
    child = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=tuple(_inherited),
    )
    assert child.stdout is not None
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end_group(child)

    _streaming.add(child)
    timer = threading.Timer(timeout_s, expire) if timeout_s else None
    lines: list[str] = []
    try:
        if timer:
            timer.start()
        for raw in child.stdout:
            if line := raw.rstrip():
                lines.append(line)
                on_line(line)
        return Finished(child.wait(), lines, expired.is_set())
    finally:
        if timer:
            timer.cancel()
        end_group(child)
        child.stdout.close()
        _streaming.discard(child)


def end_group(child: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a child that leads a process group, and the group: SIGTERM, and SIGKILL when the grace time is over."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            _signal_group(child.pid, signal.SIGKILL)
            child.wait()
    _signal_group(child.pid, signal.SIGKILL)  # what the leader left behind


@contextmanager
def children_end_on_error() -> Iterator[None]:
    """Where the body is left by an exception, Ctrl-C included, end what `stream` runs in other threads."""
    try:
        yield
    except BaseException:
        for child in list(_streaming):
            end_group(child)
        raise


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # all of it has ended


@contextmanager
def held_with_children(path: Path, while_waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold the lock file at `path` alone, and let what `stream` runs meanwhile hold it as well.

    A child that outlives this process, which was killed, so keeps others away for as long as it still works.
    """
    with exclusive(path, while_waiting) as descriptor:
        _inherited.add(descriptor)
        try:
            yield
        finally:
            _inherited.discard(descriptor)


def exit_on_sigterm() -> None:
    """Let SIGTERM leave through the `finally` clauses, as Ctrl-C does, so that children are ended in order."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
