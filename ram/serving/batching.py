"""Images of many requests through the model together."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ram.serving.limits import Refused

Run = Callable[[Any, Sequence[Any]], Sequence[Any]]  # key, items -> an answer for every item


@dataclass(eq=False, slots=True)
class _Job:
    key: Hashable
    item: Any
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Gathers items with the same key into batches, and runs one batch at a time on a thread of its own.

    The oldest item is always in the next batch. A batch that is not full waits `max_wait_s` for more, but only while
    images are on their way (reserved, not yet submitted): a client that is alone never waits. While the model is busy
    batches fill by themselves.
    """

    def __init__(
        self,
        run: Run,
        *,
        max_batch: int,
        max_wait_s: float,
        max_waiting: int,
        max_delay_s: float = math.inf,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        if max_batch < 1 or max_wait_s < 0:
            raise ValueError(f"max_batch must be at least 1 and max_wait_s 0 or more, got {max_batch} and {max_wait_s}")
        self._run, self._on_batch = run, on_batch
        self.max_batch, self.max_wait_s, self.max_waiting = max_batch, max_wait_s, max_waiting
        self.max_delay_s = max_delay_s
        self.num_reserved = 0  # in the house
        self._jobs: deque[_Job] = deque()
        self._num_running = 0
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ram-model")
        self._seconds_per_image = 0.1
        self._batch_began_s: float | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take jobs; on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """End the work; what still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for job in self._jobs:
            job.answer.cancel()
        self._thread.shutdown(wait=False)

    @property
    def stuck_s(self) -> float:
        """For how long the batch that is under way has been; 0 where none is."""
        return 0.0 if self._batch_began_s is None else time.monotonic() - self._batch_began_s

    def refuse_if_full(self, num_items: int = 1) -> None:
        """Raises `Refused` (503) where so many more have no room, or would wait for too long.

        Those that would not be answered in time are better told at once: the model's time goes to those that will.
        """
        delay_s = self.num_reserved * self._seconds_per_image
        if self.num_reserved + num_items > self.max_waiting or delay_s > self.max_delay_s:
            raise Refused(503, "too many images are waiting; try again", retry_after_s=min(delay_s, 60.0))

    @contextlib.contextmanager
    def reserve(self, num_items: int) -> Iterator[None]:
        """Room for the items of one request while it lasts. Raises `Refused` (503) where there is none."""
        self.refuse_if_full(num_items)
        self.num_reserved += num_items
        try:
            yield
        finally:
            self.num_reserved -= num_items
            self._changed.set()

    def submit(self, key: Hashable, item: Any) -> Awaitable[Any]:
        """The answer to one item; cancelled, it is left out of the batch if that has not begun."""
        job = _Job(key, item)
        self._jobs.append(job)
        self._changed.set()
        return job.answer

    async def _work(self) -> None:
        while True:
            batch = await self._next_batch()
            if batch:
                await self._answer(batch)

    async def _next_batch(self) -> list[_Job]:
        while not self._drop_cancelled():
            await self._wait(None)
        deadline_s = time.monotonic() + self.max_wait_s
        while len(self._of_the_oldest()) < self.max_batch and self.num_reserved > len(self._jobs):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not await self._wait(left_s) or not self._drop_cancelled():
                break
        batch = self._of_the_oldest()
        taken = set(map(id, batch))
        self._jobs = deque(job for job in self._jobs if id(job) not in taken)
        return batch

    def _drop_cancelled(self) -> bool:
        """Whether there is a job, once those are gone that nobody waits for any more."""
        if any(job.answer.done() for job in self._jobs):
            self._jobs = deque(job for job in self._jobs if not job.answer.done())
        return bool(self._jobs)

    def _of_the_oldest(self) -> list[_Job]:
        if not self._drop_cancelled():
            return []
        key = self._jobs[0].key
        return [job for job in self._jobs if job.key == key][: self.max_batch]

    async def _wait(self, timeout_s: float | None) -> bool:
        """Whether something changed within the time."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _answer(self, batch: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        began_s = self._batch_began_s = time.monotonic()
        try:
            answers = await loop.run_in_executor(self._thread, self._run, batch[0].key, [job.item for job in batch])
            assert len(answers) == len(batch), (len(answers), len(batch))
        except Exception as error:  # belongs to those who asked; the next batch is another matter
            for job in batch:
                if not job.answer.done():
                    job.answer.set_exception(error)
        else:
            for job, answer in zip(batch, answers, strict=True):
                if not job.answer.done():
                    job.answer.set_result(answer)
        finally:
            self._batch_began_s = None
            seconds = time.monotonic() - began_s
            self._seconds_per_image += 0.1 * (seconds / len(batch) - self._seconds_per_image)
            self._on_batch(len(batch), seconds)
