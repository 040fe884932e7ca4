from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.serving.batching import Batcher
from ram.serving.limits import Refused


class _Doubling:
    """Doubles numbers; remembers the batches, and waits in each until it may go on."""

    def __init__(self, open_: bool = True) -> None:
        self.batches: list[tuple[Any, list[int]]] = []
        self.gate = threading.Event()
        if open_:
            self.gate.set()

    def __call__(self, key: Any, items: Sequence[int]) -> list[int]:
        assert self.gate.wait(30)
        self.batches.append((key, list(items)))
        if key == "broken":
            raise RuntimeError("broken")
        return [2 * item for item in items]


def _with(batcher_of: Callable[[], Batcher], body: Callable[[Batcher], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        batcher = batcher_of()
        batcher.start()
        try:
            return await asyncio.wait_for(body(batcher), 60)
        finally:
            await batcher.stop()

    return asyncio.run(run())


def _batcher(model: Any, max_batch: int = 4, max_wait_s: float = 0.0, max_waiting: int = 100) -> Callable[[], Batcher]:
    return lambda: Batcher(model, max_batch=max_batch, max_wait_s=max_wait_s, max_waiting=max_waiting)


async def _ask(batcher: Batcher, key: Any, item: int) -> int:
    with batcher.reserve(1):
        return await batcher.submit(key, item)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=30), st.integers(1, 5))
def test_everybody_gets_the_answer_to_their_own_question(asked: list[tuple[str, int]], max_batch: int) -> None:
    model = _Doubling()

    async def body(batcher: Batcher) -> list[int]:
        return await asyncio.gather(*(_ask(batcher, key, item) for key, item in asked))

    assert _with(_batcher(model, max_batch), body) == [2 * item for _, item in asked]
    assert all(1 <= len(items) <= max_batch for _, items in model.batches)
    for key in "abc":  # in the order in which they were asked, and none with those of another key
        assert [i for k, items in model.batches for i in items if k == key] == [i for k, i in asked if k == key]


def test_what_comes_while_the_model_is_busy_goes_together_and_the_oldest_first() -> None:
    model = _Doubling(open_=False)

    async def body(batcher: Batcher) -> None:
        tasks = [asyncio.ensure_future(_ask(batcher, "a", 0))]
        await asyncio.sleep(0.05)  # the first is under way
        for key, item in [("b", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5), ("b", 6), ("b", 7)]:
            tasks.append(asyncio.ensure_future(_ask(batcher, key, item)))
        await asyncio.sleep(0.05)
        model.gate.set()
        await asyncio.gather(*tasks)

    _with(_batcher(model), body)
    assert model.batches == [("a", [0]), ("b", [1, 3, 5, 6]), ("a", [2, 4]), ("b", [7])]


def test_a_batch_waits_for_what_is_on_its_way_and_somebody_alone_does_not_wait() -> None:
    model = _Doubling()

    async def body(batcher: Batcher) -> float:
        async def late() -> int:
            with batcher.reserve(1):  # its image is still being decoded
                await asyncio.sleep(0.2)
                return await batcher.submit("a", 2)

        await asyncio.gather(late(), _ask(batcher, "a", 1))
        began_s = time.monotonic()
        await _ask(batcher, "a", 3)
        return time.monotonic() - began_s

    alone_s = _with(_batcher(model, max_wait_s=10.0), body)
    assert [sorted(items) for _, items in model.batches] == [[1, 2], [3]]
    assert alone_s < 5


def test_a_batch_waits_no_longer_than_it_may() -> None:
    model = _Doubling()

    async def body(batcher: Batcher) -> None:
        with batcher.reserve(1):  # never submitted
            assert await _ask(batcher, "a", 1) == 2

    _with(_batcher(model, max_wait_s=0.05), body)


def test_a_failure_belongs_to_those_who_asked_with_it() -> None:
    model = _Doubling()

    async def body(batcher: Batcher) -> list[Any]:
        asked = [_ask(batcher, key, 1) for key in ("broken", "a", "broken")]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third = _with(_batcher(model), body)
    assert (type(first), second, type(third)) == (RuntimeError, 2, RuntimeError)


def test_those_that_left_are_not_computed() -> None:
    model = _Doubling(open_=False)

    async def body(batcher: Batcher) -> None:
        tasks = [asyncio.ensure_future(_ask(batcher, "a", item)) for item in range(10)]
        await asyncio.sleep(0.05)
        for task in tasks[4:8]:
            task.cancel()
        await asyncio.sleep(0.01)
        model.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert batcher.num_reserved == 0

    _with(_batcher(model), body)
    assert [items for _, items in model.batches] == [[0, 1, 2, 3], [8, 9]]


def test_a_full_house_refuses_and_says_when_to_come_back() -> None:
    model = _Doubling(open_=False)

    async def body(batcher: Batcher) -> None:
        with batcher.reserve(3):
            with pytest.raises(Refused) as refused, batcher.reserve(2):
                pass
            assert refused.value.status == 503
            assert int(refused.value.headers["Retry-After"]) >= 1
            with batcher.reserve(1):
                pass
        with batcher.reserve(4):
            pass
        model.gate.set()

    _with(_batcher(model, max_waiting=4), body)


def test_who_would_wait_for_too_long_is_refused_at_once_and_a_slow_model_is_tried_again() -> None:
    def slow(key: Any, items: Sequence[int]) -> list[int]:
        time.sleep(0.3)
        return list(items)

    async def body(batcher: Batcher) -> None:
        for i in range(3):  # the model turns out to take longer than a whole delay for each
            assert await _ask(batcher, "a", i) == i
        first = asyncio.ensure_future(_ask(batcher, "a", 1))
        await asyncio.sleep(0.01)
        with pytest.raises(Refused) as refused:
            batcher.refuse_if_full()
        assert refused.value.status == 503
        assert await first == 1
        assert await _ask(batcher, "a", 2) == 2, "an empty house takes everybody"

    _with(lambda: Batcher(slow, max_batch=4, max_wait_s=0.0, max_waiting=100, max_delay_s=0.05), body)
