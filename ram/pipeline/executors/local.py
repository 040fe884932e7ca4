"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    """What a worker does first: one thread for its work, and one that ends it with the process it works for."""
    _one_thread_each()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    # A pool whose process was killed would wait for work for ever, and go on writing where the next run works.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _one_thread_each() -> None:
    # A worker per core: libraries that start a thread per core as well would only get in each other's way.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"


class LocalEngine:
    """Maps over `num_workers` processes (0: one per core); with one worker or one item, in this process.

    An item whose process dies is done again, by a new process and up to `max_retries` times. `num_model_workers`
    processes (0: one per core) hold a model each where a stage asks for them; 1 is this process, on all its cores.
    """

    def __init__(self, num_workers: int = 0, num_model_workers: int = 1, max_retries: int = 3) -> None:
        self.num_workers = num_workers or available_cores()
        self.num_model_workers = num_model_workers or available_cores()
        self.max_retries = max_retries

    def for_models(self) -> LocalEngine:
        """The engine for functions that hold a model, which one process with many threads does as well."""
        return LocalEngine(self.num_model_workers, self.num_model_workers, self.max_retries)

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Results in order. At most two items a worker wait at a time, so memory does not grow with the items.

        Raises what `function` raises, and `RuntimeError` where the processes that do an item die again and again.
        """
        num_workers = min(self.num_workers, len(items))
        if num_workers <= 1:
            yield from map(function, items)
            return
        pool = _Pool(function, num_workers, self.max_retries)
        try:
            for item in items:
                pool.submit(item)
                if len(pool) >= 2 * num_workers:
                    yield pool.take()
            while len(pool):
                yield pool.take()
        finally:
            pool.close()


@dataclass
class _Task(Generic[T, R]):
    item: T
    future: Future[R]
    num_losses: int = 0


class _Pool(Generic[T, R]):
    """A queue of items under way, and the processes that work on them: a new set of these where one of them died."""

    def __init__(self, function: Callable[[T], R], num_workers: int, max_retries: int) -> None:
        self._function, self._num_workers, self._max_retries = function, num_workers, max_retries
        self._tasks: deque[_Task[T, R]] = deque()
        self._executor = self._start()

    def __len__(self) -> int:
        return len(self._tasks)

    def submit(self, item: T) -> None:
        try:
            future = self._executor.submit(self._function, item)
        except BrokenProcessPool as error:
            self._revive(error)
            future = self._executor.submit(self._function, item)
        self._tasks.append(_Task(item, future))

    def take(self) -> R:
        """The result of the oldest item."""
        while True:
            try:
                result = self._tasks[0].future.result()
            except BrokenProcessPool as error:
                self._revive(error)
            else:
                self._tasks.popleft()
                return result

    def close(self) -> None:
        # What is under way is waited for: it may be in the middle of writing its part.
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._num_workers, mp_context=context, initializer=_start_worker)

    def _revive(self, error: BrokenProcessPool) -> None:
        """New processes, which begin with the items that were lost. All that were under way are: nobody knows whose fault
        it was."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        lost = [task for task in self._tasks if _is_lost(task.future)]
        for task in lost:
            task.num_losses += 1
            if task.num_losses > self._max_retries:
                raise RuntimeError(died_message(task.num_losses, "engine.num_workers")) from error
        print(f"a worker process died; its work is done again ({len(lost)} items)", file=sys.stderr, flush=True)
        self._executor = self._start()
        for task in lost:
            task.future = self._executor.submit(self._function, task.item)


def _is_lost(future: Future[R]) -> bool:
    try:
        return isinstance(future.exception(), BrokenProcessPool)
    except CancelledError:
        return True


def died_message(num_times: int, parameter: str) -> str:
    """What to say, and to do, when an item took its processes with it every time."""
    return (
        f"{num_times} worker processes died, one after the other, over the same work. Most often memory ran out (the system's "
        f"log names what it killed): set {parameter} lower in params.yaml, or take a machine with more. What was finished is "
        "kept, and the next run goes on from there. A function or library that crashes shows itself with one worker."
    )
