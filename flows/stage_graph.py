"""The graph of dvc.yaml as DVC resolves it, and one stage of it, run by DVC."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.dvc_state import forget_lock_file, keep_lock_file, mend_lock_file
from flows.environment import child_environment
from flows.processes import stream

# DVC's own words for what it did with a stage
_OUTCOMES = {
    "Ran": "Running stage '{}'",
    "Restored": "Stage '{}' is cached",  # the run cache had the outputs of the same inputs
    "Cached": "Stage '{}' didn't change",
}
_EXIT_STATUS = re.compile(r"failed to run: .*exited with (-?\d+)")
BAD_INPUT_STATUS = 2  # what `ram stage` ends with where data or parameters are at fault
_BOILERPLATE = ("Running stage ", "> ", "ERROR: failed to reproduce")
_NUM_TAIL_LINES = 15


class StageFailed(RuntimeError):
    """A stage did not reach its end; the message is what it printed last."""


class BadInput(StageFailed):
    """Data or parameters are at fault: the same would happen again."""


@dataclass(frozen=True)
class StageRecord:
    """What DVC did with one stage: `outcome` is Ran, Restored or Cached; Kept: it was left alone, as asked."""

    stage: str
    outcome: str
    seconds: float | None

    def row(self) -> dict[str, object]:
        return asdict(self)


def read_graph(workspace: Path) -> dict[str, set[str]]:
    """{stage: the stages it waits for}, in the order of dvc.yaml, `foreach` and `matrix` items expanded."""
    from dvc.repo import Repo

    with Repo(str(workspace)) as repo:
        graph = repo.index.graph
        stages = [stage for stage in repo.index.stages if not stage.is_data_source]
        # `stage.addressing` would be relative to the folder we stand in
        names = {s: s.name if s.path_in_repo == "dvc.yaml" else f"{s.path_in_repo}:{s.name}" for s in stages}
        return {names[s]: {names[up] for up in graph.successors(s) if not up.is_data_source} for s in stages}


def select(
    graph: Mapping[str, set[str]], targets: Collection[str] | None, from_stage: str | None = None
) -> dict[str, set[str]]:
    """The part of `graph` that leads to `targets`, all of it for None; of that, what follows from `from_stage`.

    A target names a stage, or a `foreach` stage for all its items; a `ValueError` for one that the graph has not, and
    where nothing is left.
    """
    ordered = list(_in_order(graph))
    wanted = set(graph if targets is None else expand(graph, targets))
    for stage in reversed(ordered):
        if stage in wanted:
            wanted |= graph[stage]
    if from_stage is not None:
        following = set(expand(graph, [from_stage]))
        for stage in ordered:
            if graph[stage] & following:
                following.add(stage)
        wanted &= following
    if not wanted:
        raise ValueError(f"{', '.join(targets or ())} does not follow from {from_stage}; there is nothing to run")
    return {stage: graph[stage] & wanted for stage in graph if stage in wanted}


def without(graph: Mapping[str, set[str]], kept: Collection[str]) -> dict[str, set[str]]:
    """`graph` without the stages `kept`, which nothing waits for."""
    return {stage: upstream - set(kept) for stage, upstream in graph.items() if stage not in kept}


def expand(graph: Collection[str], names: Collection[str]) -> list[str]:
    """`names` with every name of a `foreach` stage replaced by its items; a `ValueError` for an unknown one."""
    expanded = []
    for name in names:
        matches = [stage for stage in graph if stage == name or stage.startswith(f"{name}@")]
        if not matches:
            raise ValueError(f"no stage {name!r} in dvc.yaml; it has {', '.join(graph)}")
        expanded += matches
    return expanded


def _in_order(graph: Mapping[str, set[str]]) -> list[str]:
    """The stages, each after those it waits for."""
    done: dict[str, None] = {}
    while len(done) < len(graph):
        done |= dict.fromkeys(stage for stage in graph if stage not in done and graph[stage] <= done.keys())
    return list(done)


def repro(
    workspace: Path,
    stage: str,
    on_line: Callable[[str], object],
    force: bool = False,
    timeout_s: float | None = None,
) -> StageRecord:
    """Bring one stage up to date by DVC; raises `StageFailed` with the end of its output where it fails.

    `--single-item`: what it waits for is up to date already, and side by side runs would find the shared part busy.
    """
    command = [
        sys.executable,
        "-m",
        "dvc",
        "--wait-for-lock",
        "repro",
        "--single-item",
        *(["--force"] if force else []),
    ]
    start = time.monotonic()
    mend_lock_file(workspace, stage)  # of a try before this one
    keep_lock_file(workspace, stage)
    done = stream([*command, stage], workspace, child_environment(), on_line, timeout_s)
    if done.returncode >= 0 and not done.timed_out:
        forget_lock_file(workspace, stage)
    seconds = round(time.monotonic() - start, 1)
    if done.timed_out:
        raise StageFailed(f"stage {stage} was stopped: it took longer than {timeout_s:g} s\n{_tail(done.lines)}")
    if done.returncode:
        kind = BadInput if _exit_status(done.lines) == BAD_INPUT_STATUS else StageFailed
        raise kind(f"stage {stage} failed after {seconds} s\n{_tail(done.lines)}")
    return StageRecord(stage, outcome(stage, done.lines), seconds)


def _exit_status(lines: Collection[str]) -> int | None:
    """The exit status of a stage's command, as DVC tells it."""
    found = [match for line in lines if (match := _EXIT_STATUS.search(line))]
    return int(found[-1][1]) if found else None


def outcome(stage: str, lines: Collection[str]) -> str:
    """Ran, Restored or Cached, by what DVC printed for `stage`."""
    for name, words in _OUTCOMES.items():
        if any(line.startswith(words.format(stage)) for line in lines):
            return name
    raise AssertionError(f"DVC said nothing known about {stage}: {list(lines)}")


def _tail(lines: Collection[str]) -> str:
    own = [line for line in lines if not line.startswith(_BOILERPLATE)]
    return "\n".join(own[-_NUM_TAIL_LINES:])
