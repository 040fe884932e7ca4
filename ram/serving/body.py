"""Reading the body of a request: bounded in bytes, in time, and in what all requests together may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from ram.serving.limits import Limits, Refused


class Held:
    """What one request holds of the buffer."""

    def __init__(self, buffer: BodyBuffer) -> None:
        self._buffer = buffer
        self.num_bytes = 0

    def grow(self, num_bytes: int) -> None:
        """Raises `Refused` (503) where all requests together would hold too much."""
        if self._buffer.num_bytes + num_bytes > self._buffer.max_bytes:
            raise Refused(503, "too many requests are being read; try again", retry_after_s=1)
        self._buffer.num_bytes += num_bytes
        self.num_bytes += num_bytes


class BodyBuffer:
    """Counts the bytes of all bodies in memory."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """Give back at the end what the request has grown to."""
        held = Held(self)
        try:
            yield held
        finally:
            self.num_bytes -= held.num_bytes


async def read_body(request: Request, held: Held, limits: Limits) -> bytes:
    """The whole body. Raises `Refused`: 413 too large, 408 too slow, 499 gone, 503 no room.

    Bytes count when they have come, not when they are announced: who announces much and sends little blocks nobody.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limits.max_body_bytes:
        raise _too_large(limits)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limits.max_body_bytes:
                    raise _too_large(limits)
                held.grow(len(chunk))
                body += chunk
    except ClientDisconnect as error:
        raise Refused(499, "the client left") from error
    except TimeoutError as error:
        raise Refused(408, f"the body did not come within {limits.body_timeout_s:g} s") from error
    return bytes(body)


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"a request may have {limits.max_body_bytes} bytes; send fewer or smaller images")
