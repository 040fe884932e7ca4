"""The process: a port, connections that may not dawdle, and an end that loses no request."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ram.serving.limits import Limits

_LINGER_S = 5.0  # for what was sent last to leave, before a connection is cut
_GRACE_S = 5.0  # beyond the limit of a body, within which the application itself answers 408


class PatientProtocol(H11Protocol):
    """HTTP/1.1 for clients that send and take at some speed; of those that do not, the connection is closed.

    uvicorn alone has no limit for the head of a request, nor for a client that takes no answer.
    """

    limits = Limits()
    _timer: asyncio.TimerHandle | None = None
    _phase: Any = None
    _stalled: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self._say(503, b"retry-after: 1\r\n")
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._timer)
        self._stop(self._stalled)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Give a head, and a body, its time; once a request is whole the time is ours."""
        phase: Any = self.conn.their_state
        if phase is h11.IDLE and self.timeout_keep_alive_task is not None:
            phase = None  # between two requests: uvicorn's own timer runs
        if phase is self._phase:
            return
        self._stop(self._timer)
        self._phase = phase
        limit_s = {h11.IDLE: self.limits.header_timeout_s, h11.SEND_BODY: self.limits.body_timeout_s + _GRACE_S}.get(
            phase
        )
        self._timer = None if limit_s is None else self.loop.call_later(limit_s, self._too_slow)

    def _too_slow(self) -> None:
        if self._phase is h11.IDLE:
            self._say(408, b"")
        else:
            self.transport.abort()

    def _say(self, status: int, headers: bytes) -> None:
        """An answer to a request that has not come.

        What the client sends meanwhile is read and dropped: closed with it unread, the connection would be reset, and
        the answer lost.
        """
        self._refused = True
        self.transport.write(b"HTTP/1.1 %d \r\nconnection: close\r\ncontent-length: 0\r\n%s\r\n" % (status, headers))
        if len(self.connections) > 2 * self.limits.max_connections:
            self.transport.close()
        else:
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(self._stalled)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


class DrainingServer(uvicorn.Server):
    """On SIGTERM (or Ctrl-C) not ready any more; `drain_s` later no new connection; when all are answered, the end.

    A second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_s: float) -> None:
        super().__init__(config)
        self._app, self._drain_s = app, drain_s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal once more at the end: a server that was told to stop, and did, ends with 0.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        service = self._app.state.service
        if service.draining:
            self.should_exit = self.force_exit = True
            return
        service.draining = True
        if self._drain_s:
            threading.Timer(self._drain_s, self._exit).start()
        else:
            self._exit()

    def _exit(self) -> None:
        self.should_exit = True


def config_of(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """uvicorn's settings: little is taken on trust, and nothing is told of what runs here."""
    limits: Limits = app.state.service.limits
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("Protocol", (PatientProtocol,), {"limits": limits}),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(limits.timeout_s + limits.body_timeout_s) + 1,
        h11_max_incomplete_event_size=16 * 1024,
    )


def serve(app: FastAPI, host: str, port: int, drain_s: float = 0.0) -> None:
    """Serve until a signal ends it."""
    DrainingServer(config_of(app, host, port), app, drain_s).run()
