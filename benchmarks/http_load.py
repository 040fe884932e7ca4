"""Clients that ask a server over the loopback: as many as there are, or as often as they like."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter


@dataclass
class Load:
    """What one load came to: answers by status, latencies of the good ones in seconds, and what it took."""

    statuses: Counter[int | str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    @property
    def per_cpu_second(self) -> float:
        return len(self.latencies_s) / max(self.cpu_seconds, 1e-9)

    def percentile_ms(self, percent: float) -> float:
        return 1000 * float(np.percentile(self.latencies_s, percent)) if self.latencies_s else float("nan")


def draw_images(count: int, seed: int = 0) -> list[bytes]:
    """JPEGs of 640 x 480 pixels, about as large as photos of that size."""
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        noise = Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize((640, 480))
        buffer = io.BytesIO()
        noise.filter(ImageFilter.GaussianBlur(1)).save(buffer, "JPEG", quality=88)
        images.append(buffer.getvalue())
    return images


_MAX_REST_S = 3.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask(streams: Streams, request: bytes) -> tuple[int, bool]:
    """The status of the answer, and whether the connection may be used again."""
    reader, writer = streams
    writer.write(request)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1]), "connection: close" not in head


async def closed_loop(port: int, requests: Sequence[bytes], num_clients: int, seconds: float) -> Load:
    """So many clients, each with one question at a time, for so long."""
    load = Load()
    end_s = time.monotonic() + seconds

    async def client(number: int) -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while time.monotonic() < end_s:
            began_s = time.monotonic()
            status, kept = await ask(streams, requests[turn % len(requests)])
            load.statuses[status] += 1
            if status == 200:
                load.latencies_s.append(time.monotonic() - began_s)
            if not kept:
                streams[1].close()
                streams = await asyncio.open_connection("127.0.0.1", port)
            turn += 1
        streams[1].close()

    began_s = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(num_clients)))
    load.seconds = time.monotonic() - began_s
    return load


def _rested(free: list[tuple[float, Streams]]) -> Streams | None:
    """A connection that was used a moment ago: one that rested for longer the server may be about to close."""
    while free:
        since_s, streams = free.pop()
        if time.monotonic() - since_s < _MAX_REST_S and not streams[0].at_eof():
            return streams
        streams[1].close()
    return None


async def open_loop(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, each_second: Callable[[], None]
) -> Load:
    """Questions at a fixed rate, on connections of their own where none is free; `each_second` is called meanwhile."""
    load = Load()
    free: list[tuple[float, Streams]] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one(request: bytes) -> None:
        began_s = time.monotonic()
        try:
            streams = _rested(free) or await asyncio.open_connection("127.0.0.1", port)
            status, kept = await ask(streams, request)
        except (OSError, EOFError) as error:
            load.statuses[type(error).__name__] += 1
            return
        load.statuses[status] += 1
        if status == 200:
            load.latencies_s.append(time.monotonic() - began_s)
        if kept:
            free.append((time.monotonic(), streams))
        else:
            streams[1].close()

    began_s = time.monotonic()
    sent, told_s = 0, 0.0
    while (now_s := time.monotonic() - began_s) < seconds:
        while sent < now_s * rate:
            task = asyncio.ensure_future(one(requests[sent % len(requests)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        if now_s - told_s >= 1:
            told_s = now_s
            each_second()
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    load.seconds = time.monotonic() - began_s
    for _, (_, writer) in free:
        writer.close()
    return load
