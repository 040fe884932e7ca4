from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from ram.io.locks import exclusive


def test_a_lock_that_another_process_holds_is_waited_for_and_said(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "one.lock"
    path.parent.mkdir()
    code = (
        f"import fcntl; f = open({str(path)!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiting = threading.Event()

    def let_go() -> None:
        waiting.wait(10)
        holder.communicate("\n")

    thread = threading.Thread(target=let_go)
    thread.start()
    with exclusive(path, waiting.set):
        assert waiting.is_set()
    thread.join()
    assert holder.returncode == 0
