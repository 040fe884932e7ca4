"""Connections that dawdle, and the end of the process, over real sockets of the loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]

ROOT = Path(__file__).resolve().parents[2]


def _form(image: bytes, **fields: str) -> tuple[bytes, dict[str, str]]:
    body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n' + image + b"\r\n"
    for name, value in fields.items():
        body += f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    return body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def _ask(port: int, image: bytes, **fields: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/tags", *_form(image, **fields))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def _received(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    connection.settimeout(30)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            found += data
    return found


def test_a_head_that_trickles_is_cut_off_and_others_are_served_meanwhile(
    make_app: Make, listen: Make, make_image: Make
) -> None:
    with listen(make_app(header_timeout_s=0.5)) as port:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        for connection in slow:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-")
        assert _ask(port, make_image())[0] == 200
        began_s = time.monotonic()
        with contextlib.suppress(OSError):  # the server ends it while we are still at it
            while time.monotonic() < began_s + 20:
                slow[0].sendall(b"a")
                time.sleep(0.1)
        assert time.monotonic() - began_s < 15
        for connection in slow[1:]:
            assert _received(connection).startswith(b"HTTP/1.1 408 ")
            connection.close()


def test_a_second_head_on_a_connection_has_no_more_time_than_the_first(make_app: Make, listen: Make) -> None:
    with listen(make_app(header_timeout_s=0.5)) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(1.0)  # between two requests it may rest for longer
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /hea")
        connection.sendall(b"l")
        began_s = time.monotonic()
        answers = _received(connection)
        assert answers.count(b"HTTP/1.1 200 ") == 2
        assert time.monotonic() - began_s < 14


def test_a_body_that_trickles_is_408(make_app: Make, listen: Make) -> None:
    with (
        listen(make_app(body_timeout_s=0.5)) as port,
        socket.create_connection(("127.0.0.1", port)) as connection,
    ):
        head = b"POST /v1/tags HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        connection.sendall(head)
        connection.settimeout(30)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_sends_too_much_reads_why(make_app: Make, listen: Make, make_image: Make) -> None:
    with listen(make_app(max_body_bytes=1000)) as port:
        assert _ask(port, b"x" * 3_000_000)[0] == 413
        assert _ask(port, make_image())[0] == 200


def test_a_client_that_takes_no_answer_is_cut_off(make_app: Make, listen: Make, color_model: Make) -> None:
    model = color_model()
    model.labels = b" " * 30_000_000
    with listen(make_app(model, send_timeout_s=0.5)) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /v1/labels HTTP/1.1\r\nHost: a\r\n\r\n")
        assert len(connection.recv(1)) == 1  # the answer has begun
        deadline_s = time.monotonic() + 60
        while _is_held(port, connection.getsockname()):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert len(_received(connection)) < 30_000_000


def _is_held(port: int, client: tuple[str, int]) -> bool:
    """Whether this process, in which the server runs, still has its end of the client's connection."""
    import psutil

    return any(c.raddr == client and c.laddr.port == port for c in psutil.Process().net_connections("tcp"))


def test_more_connections_than_allowed_are_told_to_come_back(make_app: Make, listen: Make) -> None:
    with listen(make_app(max_connections=5)) as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", port)) as sixth:
            answer = _received(sixth)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1" in answer
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "request_",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"GET\r\n\r\n",
     b"POST /v1/tags HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b"POST /v1/tags HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_refused(make_app: Make, listen: Make, request_: bytes) -> None:
    with listen(make_app()) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request_)
            connection.shutdown(socket.SHUT_WR)
            assert re.match(rb"HTTP/1\.1 4\d\d ", _received(connection))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as good:
            good.request("GET", "/healthz")
            assert good.getresponse().status == 200


def test_a_client_that_leaves_takes_its_images_with_it(
    make_app: Make, listen: Make, color_model: Make, make_image: Make
) -> None:
    model = color_model()
    model.may_answer.clear()
    app = make_app(model, max_batch=1)
    with listen(app) as port:
        body, headers = _form(make_image())
        head = f"POST /v1/tags HTTP/1.1\r\nHost: a\r\nContent-Type: {headers['Content-Type']}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(head.encode() + body)
                time.sleep(0.2)
        deadline_s = time.monotonic() + 30
        while app.state.service.batcher.num_reserved:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        model.may_answer.set()
        assert _ask(port, make_image())[0] == 200
    assert len(model.batches) <= 2  # the one that was under way, and the last


_SERVE = """
import sys, threading, time
sys.path.insert(0, {tests!r})
from pathlib import Path
import conftest
from ram.serving import process
from ram.serving.models import Models
from ram.serving.server import ServerParams, create_app
model = conftest.ColorModel()
model.may_answer.clear()
models = Models({{"champion": lambda: model.directory}}, lambda directory: model)
models.load()
app = create_app(models, ServerParams(refresh_s=0.0))
def answer_when_told():
    while app.state.service.batcher.num_reserved < 3:
        time.sleep(0.01)
    print("asked", flush=True)
    sys.stdin.readline()
    model.may_answer.set()
threading.Thread(target=answer_when_told, daemon=True).start()
process.serve(app, "127.0.0.1", {port}, {drain_s})
print("ended", flush=True)
"""


@pytest.mark.parametrize("drain_s", [0.0, 4.0])
def test_sigterm_ends_the_process_when_all_that_were_asked_have_their_answers(make_image: Make, drain_s: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = _SERVE.format(tests=str(Path(__file__).parent), port=port, drain_s=drain_s)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        _wait_for_port(process, port)
        with ThreadPoolExecutor(3) as pool:
            answers = [pool.submit(_ask, port, make_image()) for _ in range(3)]
            assert process.stdout.readline() == b"asked\n"
            process.send_signal(signal.SIGTERM)
            if drain_s:
                _wait_until(lambda: _status(port, "/readyz") == 503)
                assert _status(port, "/healthz") == 200
            _wait_until(lambda: not _listens(port))
            assert not any(answer.done() for answer in answers)
            process.stdin.write(b"go on\n")
            process.stdin.flush()
            assert [answer.result()[0] for answer in answers] == [200] * 3
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, b"ended\n")
    finally:
        process.kill()
        process.wait()


def _status(port: int, path: str) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def _listens(port: int) -> bool:
    with contextlib.suppress(ConnectionError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 25  # the model waits for 30 s
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + 120
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)
