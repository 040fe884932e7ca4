"""A Ray cluster: the same map over many machines that share the workspace's file system."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class RayEngine:
    """Maps over Ray tasks: the cluster that `RAY_ADDRESS` names, or one started on this machine."""

    def __init__(self, num_workers: int = 0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise ValueError("engine.kind is ray, which is not installed: pip install 'ram-tagger[ray]'") from error
        if not ray.is_initialized():
            # Ray wants a token for every new cluster; one that lives inside this process needs none.
            if "RAY_ADDRESS" not in os.environ:
                os.environ.setdefault("RAY_AUTH_MODE", "disabled")
            ray.init(num_cpus=num_workers or None, log_to_driver=False, include_dashboard=False)
        self._ray: Any = ray
        self.num_workers = num_workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Results in order, with at most two items a worker under way."""
        remote = self._ray.remote(function)
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(remote.remote(item))
            if len(waiting) >= 2 * self.num_workers:
                yield self._ray.get(waiting.popleft())
        while waiting:
            yield self._ray.get(waiting.popleft())
