from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ram.pipeline.notify import EVENTS_PATH, notify


@pytest.fixture
def web_hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict]]:
    """A web hook on this machine; what it was sent."""
    received: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("RAM_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/hook")
    yield received
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_event_is_posted_and_written_down(web_hook: list[dict], tmp_path: Path) -> None:
    notify("failed", "stage x failed", {"flow": "pipeline"}, tmp_path)
    [sent] = web_hook
    assert (sent["event"], sent["text"], sent["flow"]) == ("failed", "stage x failed", "pipeline")
    [line] = (tmp_path / EVENTS_PATH).read_text().splitlines()
    assert json.loads(line)["posted"] == "204"


def test_without_a_web_hook_events_are_lines_one_behind_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAM_WEBHOOK_URL", raising=False)
    for text in ("one", "two"):
        notify("refused", text, {}, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / EVENTS_PATH).read_text().splitlines()]
    assert [(line["text"], line["posted"]) for line in lines] == [
        ("one", "no web hook is set"),
        ("two", "no web hook is set"),
    ]


def test_a_web_hook_that_is_down_is_told_and_does_not_undo_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAM_WEBHOOK_URL", "http://127.0.0.1:1/hook")
    assert notify("promoted", "version 2", {}, tmp_path)["posted"].startswith("failed: ")
    assert "the web hook was not reached" in capsys.readouterr().err
    monkeypatch.setenv("RAM_WEBHOOK_URL", "file:///etc/passwd")
    with pytest.raises(ValueError, match="must be an http or https address"):
        notify("promoted", "version 2", {}, tmp_path)
