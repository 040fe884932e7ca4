"""Prefect's own server on this machine, on SQLite in the workspace, for as long as somebody uses it.

Every user holds a shared lock; the last to leave stops the server. So a `make run` beside a running schedule uses the
schedule's server, and neither takes it away from the other.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.environment import prefect_home
from flows.processes import end_group, exit_on_sigterm
from ram.io.locks import exclusive

PORT = 4200  # Prefect's own; another free one where it is taken
START_TIMEOUT_S = 180.0  # the first start makes the data base: 10 s on an idle machine
STOP_TIMEOUT_S = 20.0


@contextmanager
def prefect_api(workspace: Path) -> Iterator[str]:
    """The address of a Prefect API while the context lasts, also set for this process and its children.

    With `PREFECT_API_URL` set the server is the user's own: it is used and left alone.
    """
    if given := os.environ.get("PREFECT_API_URL"):
        yield given
        return
    home = prefect_home(workspace)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "users.lock").open("w") as users:
        with exclusive(home / "server.lock"):
            url = _running(home) or _start(home)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with _announced(url, home):
                yield url
        finally:
            # where others still use it, the last of them stops it
            with exclusive(home / "server.lock"), suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop(home)


@contextmanager
def _announced(url: str, home: Path) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    os.environ["PREFECT_API_URL"] = url
    before, os.environ["PREFECT_HOME"] = os.environ.get("PREFECT_HOME"), str(home)
    try:
        with temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: home}):
            try:
                yield
            finally:
                send_what_is_queued()
    finally:
        del os.environ["PREFECT_API_URL"]
        if before is not None:
            os.environ["PREFECT_HOME"] = before


def send_what_is_queued() -> None:
    """Wait until logs and task states have reached the server, which is stopped next."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=30, at_exit=False)


def _running(home: Path) -> str | None:
    """The address of the server that the workspace has, if it answers."""
    record = home / "server.json"
    if not record.is_file():
        return None
    url = json.loads(record.read_text())["url"]
    return url if _healthy(url) else None


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


_children: dict[int, subprocess.Popen[bytes]] = {}  # servers that this process started, by process id


def _start(home: Path) -> str:
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    print(f"starting the Prefect server at {url.removesuffix('/api')}", file=sys.stderr, flush=True)
    with (home / "server.log").open("ab") as log:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_healthy(url, child, home)
    except BaseException:
        end_group(child)
        raise
    _children[child.pid] = child
    (home / "server.json").write_text(json.dumps({"url": url, "pid": child.pid}))
    return url


def _wait_until_healthy(url: str, child: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _healthy(url):
        if child.poll() is not None:
            raise RuntimeError(f"the Prefect server ended with status {child.returncode}; see {home / 'server.log'}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"no Prefect server at {url} after {START_TIMEOUT_S:.0f} s; see {home / 'server.log'}")
        time.sleep(0.2)


def _stop(home: Path) -> None:
    record = home / "server.json"
    pid = json.loads(record.read_text())["pid"]
    if pid in _children:
        end_group(_children.pop(pid))
    else:  # another process of this workspace started it and has left
        _end_foreign_group(pid)
    record.unlink()


def _end_foreign_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            time.sleep(0.1)
            os.killpg(pid, 0)
        os.killpg(pid, signal.SIGKILL)


def _free_port() -> int:
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise RuntimeError("no free TCP port on 127.0.0.1")


def main() -> int:
    """Show past runs: keep the server up until Ctrl-C or SIGTERM."""
    exit_on_sigterm()
    with prefect_api(Path()) as url, suppress(KeyboardInterrupt):
        print(f"Prefect shows the runs of this folder at {url.removesuffix('/api')}; Ctrl-C ends it", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
