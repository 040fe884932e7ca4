"""Where batches run: the same function over the same items, in this process, in a local pool, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

from ram.pipeline.executors.local import LocalEngine

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Maps a picklable function over items; results come in the order of the items.

    An item may be done twice, where a process died over it: a function that writes gives its file its name last.
    """

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]: ...

    def for_models(self) -> Engine:
        """The engine for functions that load a model and keep it for the next item: fewer processes, or with a GPU."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineParams:
    """The `engine` section of params.yaml."""

    kind: Literal["local", "ray"] = "local"
    num_workers: int = 0  # 0: one per core (ray: of the cluster)
    num_model_workers: int = 1  # local: processes with a model each; 1: this one, on all cores; 0: one per core
    num_gpus: float = 0.0  # ray: what a task with a model takes; 0: none, 0.5: two tasks share a GPU
    max_retries: int = 3  # of an item whose process died

    def __post_init__(self) -> None:
        for parameter in ("num_workers", "num_model_workers"):
            if getattr(self, parameter) < 0:
                raise ValueError(f"{parameter} must be 0 (one per core) or more, got {getattr(self, parameter)}")
        if self.num_gpus < 0 or (self.num_gpus > 1 and self.num_gpus % 1):
            raise ValueError(f"num_gpus must be a share of one GPU or a whole number of them, got {self.num_gpus}")
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, got {self.max_retries}")


class Lazy(Sequence[T], Generic[T]):
    """Items that are made when they are asked for, and not held: `make(key)` for each key."""

    def __init__(self, make: Callable[[Any], T], keys: Sequence[Any]) -> None:
        self._make, self._keys = make, keys

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Lazy[T]: ...
    def __getitem__(self, index: int | slice) -> T | Lazy[T]:
        if isinstance(index, slice):
            return Lazy(self._make, self._keys[index])
        return self._make(self._keys[index])


def make_engine(params: EngineParams) -> Engine:
    """The engine that `params` names. A Ray cluster is joined, or started, when there is work for it."""
    if params.kind == "ray":
        from ram.pipeline.executors.ray import RayEngine

        return RayEngine(params.num_workers, params.num_gpus, params.max_retries)
    return LocalEngine(params.num_workers, params.num_model_workers, params.max_retries)


__all__: list[Any] = ["Engine", "EngineParams", "Lazy", "LocalEngine", "make_engine"]
