from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.processes import stream
from ram.io.locks import exclusive

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
# starts a grandchild, prints its process id, and waits; both would wait for much longer than any of these tests does
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""


def _ends(pid: int) -> bool:
    """Whether the process has ended, or does so now: long before its own 300 s are over."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_lines_come_while_the_child_runs_with_its_errors_among_them(tmp_path: Path) -> None:
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); input()"
    seen: list[str] = []
    done = stream([sys.executable, "-c", code], tmp_path, os.environ, seen.append)
    assert seen[:2] == ["one", "two"]
    assert done.lines == seen
    assert (done.returncode, done.timed_out) == (1, False)  # there is nothing to read for it


def test_at_the_end_of_its_time_a_child_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    # Long enough for two interpreters to start on a busy machine, and a small part of what they would wait.
    start = time.monotonic()
    done = stream([sys.executable, "-c", PARENT], tmp_path, os.environ, lambda line: None, timeout_s=5)
    assert done.timed_out
    assert time.monotonic() - start < 150
    assert _ends(int(done.lines[0]))


def test_an_exception_on_our_side_ends_the_child_too(tmp_path: Path) -> None:
    seen: list[str] = []

    def fail(line: str) -> None:
        seen.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream([sys.executable, "-c", PARENT], tmp_path, os.environ, fail)
    assert _ends(int(seen[0]))


def test_a_child_that_outlives_its_killed_parent_keeps_the_lock_for_as_long_as_it_lives(tmp_path: Path) -> None:
    path, gate = tmp_path / "run.lock", tmp_path / "gate"
    child = f"import os, time\nprint('at work', flush=True)\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    code = f"""
import os, sys
from pathlib import Path
from flows.processes import held_with_children, stream
with held_with_children(Path({str(path)!r})):
    stream([sys.executable, "-c", {child!r}], Path(), os.environ, lambda line: print(line, flush=True))
"""
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert run.stdout is not None
    assert run.stdout.readline() == "at work\n"
    run.kill()
    run.wait()
    with exclusive(path, gate.touch):  # called where the lock is held: it lets the child end
        assert gate.exists()
    run.stdout.close()
