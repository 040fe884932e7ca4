"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one_thread_each() -> None:
    # A worker per core: libraries that start a thread per core as well would only get in each other's way.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"


class LocalEngine:
    """Maps over `num_workers` processes (0: one per core); with one worker or one item, in this process."""

    def __init__(self, num_workers: int = 0) -> None:
        self.num_workers = num_workers or available_cores()

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Results in order. At most two items a worker wait at a time, so memory does not grow with the items."""
        if self.num_workers == 1 or len(items) <= 1:
            yield from map(function, items)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(self.num_workers, len(items)), mp_context=context, initializer=_one_thread_each
        ) as pool:
            waiting: deque[Future[R]] = deque()
            try:
                for item in items:
                    waiting.append(pool.submit(function, item))
                    if len(waiting) >= 2 * self.num_workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
