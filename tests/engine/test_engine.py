from __future__ import annotations

import os
import time

import pytest

from ram.engine import EngineParams, LocalEngine, make_engine


def _late_ones_first(item: int) -> tuple[int, int]:
    time.sleep(0.05 if item == 0 else 0.0)
    return item, os.getpid()


def _fails_at_three(item: int) -> int:
    if item == 3:
        raise ValueError("three")
    return item


def test_results_come_in_the_order_of_the_items_from_other_processes() -> None:
    results = list(LocalEngine(2).map(_late_ones_first, range(8)))
    assert [item for item, _ in results] == list(range(8))
    assert os.getpid() not in {pid for _, pid in results}


def test_one_worker_runs_in_this_process() -> None:
    assert {pid for _, pid in LocalEngine(1).map(_late_ones_first, range(3))} == {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_where_its_result_is_due(workers: int) -> None:
    results = LocalEngine(workers).map(_fails_at_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_engine_is_chosen_by_its_name_and_refuses_fewer_than_no_workers() -> None:
    engine = make_engine(EngineParams(num_workers=3))
    assert isinstance(engine, LocalEngine)
    assert engine.num_workers == 3
    with pytest.raises(ValueError, match="num_workers must be 0"):
        EngineParams(num_workers=-1)
