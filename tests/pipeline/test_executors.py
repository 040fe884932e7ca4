from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import workers

from ram.pipeline.executors import Engine, EngineParams, Lazy, LocalEngine, make_engine

KINDS = ["local", "ray"]


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Two workers, as processes of this machine or of a Ray cluster started on it."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return make_engine(EngineParams(kind=request.param, num_workers=2, max_retries=2))


def test_results_come_in_the_order_of_the_items_from_other_processes(engine: Engine) -> None:
    results = list(engine.map(workers.late_ones_first, range(8)))
    assert [item for item, _ in results] == list(range(8))
    assert os.getpid() not in {pid for _, pid in results}


def test_one_local_worker_runs_in_this_process() -> None:
    assert {pid for _, pid in LocalEngine(1).map(workers.late_ones_first, range(3))} == {os.getpid()}


def test_functions_with_a_model_run_in_this_process_unless_asked() -> None:
    by_default, asked = (LocalEngine(2, num).for_models() for num in (1, 2))
    assert {pid for _, pid in by_default.map(workers.late_ones_first, range(3))} == {os.getpid()}
    assert os.getpid() not in {pid for _, pid in asked.map(workers.late_ones_first, range(3))}


def test_an_error_in_a_worker_is_raised_as_it_is_where_its_result_is_due(engine: Engine) -> None:
    results = engine.map(workers.fails_at_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three") as caught:
        next(results)
    assert type(caught.value) is ValueError
    assert str(caught.value) == "three"


def test_an_error_of_a_library_keeps_its_class_and_what_it_holds(engine: Engine) -> None:
    with pytest.raises(workers.OwnError) as caught:
        list(engine.map(workers.raises_own_error, [7, 8]))
    assert type(caught.value) is workers.OwnError
    assert caught.value.code == 7


def test_a_killed_worker_loses_and_doubles_nothing(engine: Engine, tmp_path: Path) -> None:
    function = workers.KilledOnce(workers.square, tmp_path / "died", victim=3)
    assert list(engine.map(function, range(12))) == [i * i for i in range(12)]
    assert (tmp_path / "died").exists()


def test_an_item_that_kills_every_worker_is_an_error_that_says_what_to_do(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match=r"3 worker processes died.*set engine.num_workers lower"):
        list(engine.map(workers.dies_at_three, range(6)))


def test_few_items_are_under_way_and_the_others_are_not_begun_once_nobody_waits(engine: Engine, tmp_path: Path) -> None:
    results = engine.map(workers.Begun(tmp_path), range(100))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) <= 2 * 2 + 1


def test_items_are_made_one_by_one(engine: Engine) -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return key + 1

    results = engine.map(workers.square, Lazy(make, range(50)))
    assert next(results) == 1
    assert len(made) <= 2 * 2 + 1
    assert list(results) == [(i + 1) ** 2 for i in range(1, 50)]


def test_no_items_give_no_results(engine: Engine) -> None:
    assert list(engine.map(workers.square, [])) == []


def test_workers_of_ray_stand_in_the_folder_of_the_caller(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = make_engine(EngineParams(kind="ray"))
    assert set(engine.map(workers.working_directory, range(3))) == {str(tmp_path)}


def test_ray_does_not_wait_for_gpus_that_its_cluster_lacks(ray_cluster: Any) -> None:
    engine = make_engine(EngineParams(kind="ray", num_gpus=8)).for_models()
    with pytest.raises(ValueError, match=r"num_gpus is 8, and the Ray cluster has \d+ GPUs; set it to 0"):
        list(engine.map(workers.square, range(3)))


def test_ray_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'ram-tagger\[ray\]'"):
        make_engine(EngineParams(kind="ray"))


def test_engine_is_chosen_by_its_name() -> None:
    engine = make_engine(EngineParams(num_workers=3))
    assert isinstance(engine, LocalEngine)
    assert engine.num_workers == 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_workers": -1}, "num_workers must be 0"),
        ({"num_model_workers": -1}, "num_model_workers must be 0"),
        ({"num_gpus": 1.5}, "num_gpus must be a share of one GPU or a whole number"),
        ({"max_retries": -1}, "max_retries must be 0 or more"),
    ],
)
def test_params_out_of_range_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineParams(**parameters)


@pytest.mark.slow
def test_a_cluster_of_this_machine_ends_with_the_process_that_started_it_however_that_ends() -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'ram-tagger[ray]'")
    code = (
        "from ram.pipeline.executors.ray import RayEngine; assert list(RayEngine(1).map(abs, [-1, -2])) == [1, 2]\n"
        "import os, ray; print(ray._private.worker._global_node.all_processes['raylet'][0].process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False, timeout=120)
    assert ended.returncode == -9
    raylet = Path("/proc", ended.stdout.strip().splitlines()[-1])
    deadline = time.monotonic() + 30
    while raylet.exists() and raylet.joinpath("stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the cluster outlives its process"
        time.sleep(0.2)
