"""Where batches run: the same function over the same items, in this process, in a local pool, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from ram.engine.local import LocalEngine

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Maps a picklable function over items; results come in the order of the items."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineParams:
    """The `engine` section of params.yaml."""

    kind: Literal["local", "ray"] = "local"
    num_workers: int = 0  # 0: one per core

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise ValueError(f"num_workers must be 0 (one per core) or more, got {self.num_workers}")


def make_engine(params: EngineParams) -> Engine:
    """The engine that `params` names."""
    if params.kind == "ray":
        from ram.engine.ray import RayEngine

        return RayEngine(params.num_workers)
    return LocalEngine(params.num_workers)


__all__: list[Any] = ["Engine", "EngineParams", "LocalEngine", "make_engine"]
