from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from benchmarks.http_load import Load, closed_loop, draw_images, open_loop


class _Server:
    """Answers 200, or every third time 503 and ends the connection."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            assert head == b"POST / HTTP/1.1\r\n"
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            bad = self.asked % 3 == 0
            writer.write(b"HTTP/1.1 503 \r\nConnection: close\r\n" if bad else b"HTTP/1.1 200 OK\r\n")
            writer.write(b"Content-Length: 2\r\n\r\nok")
            await writer.drain()
            if bad:
                break
        writer.close()


def _load(make: Any) -> tuple[Load, _Server]:
    async def run() -> tuple[Load, _Server]:
        server = _Server()
        async with await asyncio.start_server(server, "127.0.0.1", 0) as listener:
            return await make(listener.sockets[0].getsockname()[1]), server

    return asyncio.run(run())


REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_closed_loop_counts_every_answer_by_its_status() -> None:
    load, server = _load(lambda port: closed_loop(port, [REQUEST], 4, 0.3))
    assert sum(load.statuses.values()) == server.asked
    assert load.statuses[503] == server.asked // 3
    assert len(load.latencies_s) == load.statuses[200] > 4
    assert load.per_second == pytest.approx(load.statuses[200] / load.seconds)


def test_an_open_loop_asks_at_its_rate_and_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, ticks = [0.0], []
    rest = asyncio.sleep

    async def sleep(seconds: float) -> None:
        """The time of this test goes on by what is slept, and by nothing that the machine takes."""
        await rest(0.001)
        now_s[0] += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr("benchmarks.http_load.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    load, server = _load(lambda port: open_loop(port, [REQUEST], 100, 2.5, lambda: ticks.append(now_s[0])))
    assert sum(load.statuses.values()) == server.asked == 250
    assert set(load.statuses) == {200, 503}
    assert ticks == pytest.approx([1, 2], abs=0.02)


def test_images_are_of_the_size_that_is_promised_and_all_different() -> None:
    images = draw_images(3)
    assert len(set(images)) == 3
    assert {Image.open(io.BytesIO(image)).size for image in images} == {(640, 480)}
    assert all(20_000 < len(image) < 200_000 for image in images)
