"""Functions that workers of an engine call: in a module that their processes can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.pipeline.executors import Engine


def square(item: int) -> int:
    return item * item


def late_ones_first(item: int) -> tuple[int, int]:
    time.sleep(0.05 if item == 0 else 0.0)
    return item, os.getpid()


def fails_at_three(item: int) -> int:
    if item == 3:
        raise ValueError("three")
    return item


@dataclass(frozen=True)
class KilledOnce:
    """Does `function`, but the first process that is given `victim` dies without a word before it has done it."""

    function: Any
    marker: Path
    victim: Any

    def __call__(self, item: Any) -> Any:
        if item == self.victim:
            die_once(self.marker)
        return self.function(item)


def die_once(marker: Path) -> None:
    """End this process, unless a process has ended here before."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class _Killed:
    """Does `function`; one process dies, before it has done its item or when it has, before it can say so."""

    function: Any
    marker: Path
    when: str

    def __call__(self, item: Any) -> Any:
        if self.when == "before":
            die_once(self.marker)
        result = self.function(item)
        if self.when == "after":
            die_once(self.marker)
        return result


@dataclass
class KillingEngine:
    """An engine that loses a process in every map: in turn one that has done its item and one that has not."""

    engine: Engine
    directory: Path  # empty; holds the markers of the dead

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        num_dead = len(list(self.directory.iterdir()))
        killed = _Killed(function, self.directory / f"map-{num_dead:02d}", ("after", "before")[num_dead % 2])
        yield from self.engine.map(killed, items)

    def for_models(self) -> KillingEngine:
        return KillingEngine(self.engine.for_models(), self.directory)


def dies_at_three(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


@dataclass(frozen=True)
class Begun:
    """Leaves a file for every item that was begun."""

    directory: Path

    def __call__(self, item: int) -> int:
        (self.directory / str(item)).touch()
        time.sleep(0.05)
        return item


class OwnError(Exception):
    """An error of a shape of its own: pickled by its arguments."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code


def raises_own_error(item: int) -> int:
    raise OwnError(item, "own")


def working_directory(item: int) -> str:
    return str(Path.cwd())


def tell_and_wait(item: int) -> int:
    """The number of the process that did it, after a while."""
    time.sleep(0.2)
    return os.getpid()
