from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def within() -> Callable[[float], Any]:
    """`with within(20):` fails what hangs, in place of hanging with it."""

    @contextlib.contextmanager
    def limit(seconds: float) -> Iterator[None]:
        assert threading.current_thread() is threading.main_thread()

        def late(*_: object) -> None:
            raise AssertionError(f"it did not end within {seconds} s")

        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    return limit
