"""A Ray cluster: the same map over many machines that share the workspace's file system."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ram.pipeline.executors.local import died_message

T = TypeVar("T")
R = TypeVar("R")


class RayEngine:
    """Maps over Ray tasks: on the cluster that `RAY_ADDRESS` names, or on one started on this machine.

    `num_workers` is the size of a cluster started here, and bounds what is under way on another; 0: all its cores.
    A task with a model takes `num_gpus`. Ray does an item again, `max_retries` times, when its process or node is lost.
    """

    def __init__(self, num_workers: int = 0, num_gpus: float = 0.0, max_retries: int = 3) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ValueError("engine.kind is ray, which is not installed: pip install 'ram-tagger[ray]'")
        self.num_workers, self.num_gpus, self.max_retries = num_workers, num_gpus, max_retries
        self._gpus_a_task = 0.0

    def for_models(self) -> RayEngine:
        """The engine for functions that hold a model: a task takes `num_gpus`."""
        engine = RayEngine(self.num_workers, self.num_gpus, self.max_retries)
        engine._gpus_a_task = self.num_gpus
        return engine

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Results in order, with at most two items a worker under way; what is under way is cancelled where nobody waits.

        Raises what `function` raises, and `RuntimeError` where the processes that do an item die again and again.
        """
        if not len(items):
            return
        ray = _connected(self.num_workers)
        window = self._window(ray)
        # A GPU task needs no core of its own: its node may have fewer cores free than GPUs.
        resources = {"num_gpus": self._gpus_a_task} if self._gpus_a_task else {"num_cpus": 1}
        task = ray.remote(max_retries=self.max_retries, **resources)(_call)
        # Stored once: a function may hold arrays, and would else travel with every item.
        shared = ray.put((function, Path.cwd()))
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(task.remote(shared, item))
                if len(waiting) >= window:
                    yield self._result(ray, waiting.popleft())
            while waiting:
                yield self._result(ray, waiting.popleft())
        finally:
            for reference in waiting:
                ray.cancel(reference)
            # Those that have begun are interrupted; a part half written then has but its temporary name.
            if waiting:
                ray.wait(list(waiting), num_returns=len(waiting), timeout=60)

    def _window(self, ray: Any) -> int:
        """How many items are under way at most."""
        resources = ray.cluster_resources()
        if self._gpus_a_task:
            if resources.get("GPU", 0) < self._gpus_a_task:
                raise ValueError(
                    f"engine.num_gpus is {self._gpus_a_task:g}, and the Ray cluster has {resources.get('GPU', 0):g} GPUs; "
                    "set it to 0 for processors alone, or start nodes that have some"
                )
            workers = int(resources["GPU"] / self._gpus_a_task)
        else:
            workers = int(resources.get("CPU", 1))
        if self.num_workers and self.num_workers < workers:
            return self.num_workers  # on a cluster that others use too
        return 2 * max(workers, 1)

    def _result(self, ray: Any, reference: Any) -> Any:
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if not isinstance(cause, Exception):
                raise
            cause.add_note(f"in a Ray worker:\n{error}")
            raise cause from None
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            raise RuntimeError(died_message(self.max_retries + 1, "engine.num_workers")) from error
        except ray.exceptions.NodeDiedError as error:
            raise RuntimeError(
                f"Ray nodes were lost {self.max_retries + 1} times over the same work; {error}"
            ) from error


def _connected(num_workers: int) -> Any:
    """Ray, joined to a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Workers of ours see no GPU unless they are given one, as Ray will do anyway from some version on.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    import ray

    if ray.is_initialized():
        return ray
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False)
    else:
        # Ray wants a token for every new cluster; one that lives and dies with this process needs none.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        # "local": else it would join what somebody has started on this machine.
        ray.init("local", num_cpus=num_workers or None, log_to_driver=False, include_dashboard=False)
    cores = ray.cluster_resources().get("CPU", 0)
    print(f"Ray cluster: {len(ray.nodes())} nodes, {cores:g} cores", file=sys.stderr, flush=True)
    return ray


def _call(shared: tuple[Callable[[T], R], Path], item: T) -> R:
    """Runs in a worker. Paths are relative to the workspace, and a worker begins where its node's Ray was started."""
    function, workspace = shared
    if Path.cwd() != workspace:
        os.chdir(workspace)
    return function(item)
