"""Processes that are killed (SIGKILL) at a named call, for tests of what the next one finds.

They are forked by a server that has imported what takes long, so that one costs no more than its own work.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELOADED = [
    "mlflow",
    "ram.registry.publish",
    "ram.registry.log",
    "ram.pipeline.runner",
    "ram.training.loop",
    "ram.inference.tagger",
]


@dataclass(frozen=True)
class At:
    """The `nth` call of `name` in `place` ("module" or "module:Class"): killed before it, or with `after` when it is done."""

    place: str
    name: str
    nth: int = 1
    after: bool = False

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.nth}. {self.place}.{self.name}"

    def arm(self) -> None:
        """Let this process end at that call."""
        module, _, owner = self.place.partition(":")
        holder: Any = importlib.import_module(module)
        holder = getattr(holder, owner) if owner else holder
        original, calls = getattr(holder, self.name), iter(range(1, 1 << 30))

        def killing(*args: Any, **kwargs: Any) -> Any:
            due = next(calls) == self.nth
            if due and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(holder, self.name, killing)


def _main(at: At | None, environment: dict[str, str], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if at is not None:
        at.arm()
    function(*args)


def in_a_process(function: Callable[..., Any], *args: Any, at: At | None = None) -> int:
    """Call it in a process of its own, which is killed `at` that call; the exit code: 0, or the signal's with a minus."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_main, args=(at, dict(os.environ), function, args))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def kill(function: Callable[..., Any], *args: Any, at: At) -> None:
    """Call it in a process that is killed at that call; an assertion fails where it never came to it."""
    code = in_a_process(function, *args, at=at)
    assert code == -signal.SIGKILL, f"{at}: the process ended with {code}"


def publish(workspace: Path) -> None:
    """Track, register and promote what is in the workspace, with a bare package and a tagger that knows nothing."""
    from ram.registry import packaging, publish
    from ram.tracking.pipeline_run import track_run

    def save(checkpoint: Path, path: Path, description: object) -> None:
        shutil.copytree(checkpoint, path / "artifacts" / packaging.CHECKPOINT)

    packaging.save, packaging.try_out = save, lambda path: None  # type: ignore[assignment]
    tagger: Any = types.ModuleType("ram.inference.tagger")
    tagger.load, tagger.THRESHOLDS_FILE = lambda directory: lambda images: [[]], "thresholds.json"
    sys.modules["ram.inference.tagger"] = tagger
    track_run(workspace)
    publish.register(workspace)
    publish.promote(workspace)


def roll_back(workspace: Path) -> None:
    from ram.registry import publish

    publish.rollback(workspace)


def then_tell(function: Callable[[Path], Any], workspace: Path, target: Path) -> None:
    """Call it, and write what MLflow and the decisions of the workspace say then, as JSON."""
    from benchmarks.consistency import mlflow_facts
    from ram.io.tables import write_json

    function(workspace)
    write_json(mlflow_facts(workspace), target)


def connect(workspace: Path) -> None:
    from ram.tracking import server

    server.connect(workspace)


def run_stages(workspace: Path, *names: str) -> None:
    """Run stages of the pipeline in the workspace."""
    from ram.stages import run_stage

    for name in names:
        run_stage(name, workspace / "params.yaml", workspace)


def run_stages_on_a_full_disk(workspace: Path, num_bytes: int, *names: str) -> None:
    """As `run_stages` where no file may be longer than `num_bytes`; exits with 2 and the message in full.txt, as `ram` does."""
    import resource

    message = workspace / "full.txt"
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))
    try:
        run_stages(workspace, *names)
    except ValueError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        message.write_text(str(error))
        sys.exit(2)
