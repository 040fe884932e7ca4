"""Stages as Prefect tasks: each waits for those before it, is tried again where that may help, and shows its progress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from flows import reporting
from flows.processes import children_end_on_error
from flows.progress import StageProgress
from flows.stage_graph import BadInput, StageFailed, StageRecord, repro, without

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How hard stages are tried: `retries` more tries, after `retry_delay_s`, then twice as long, and so on."""

    max_parallel_stages: int = 1
    retries: int = 0
    retry_delay_s: float = 10.0
    timeout_s: float | None = None  # of one try of one stage

    def __post_init__(self) -> None:
        if self.max_parallel_stages < 1:
            raise ValueError(f"max_parallel_stages must be at least 1, got {self.max_parallel_stages}")


# DVC is the only cache: with one of Prefect's beside it there would be two answers to "is this up to date?"
@task(task_run_name="dvc:{stage}", cache_policy=NO_CACHE, persist_result=False)
def dvc_stage(stage: str, workspace: Path, force: bool = False, timeout_s: float | None = None) -> Any:
    """Bring one stage up to date; the task's state is named after what DVC did: Ran, Restored or Cached."""
    progress = StageProgress(stage, get_run_logger().info)
    record = repro(workspace, stage, progress, force, timeout_s)
    progress.finish()
    return Completed(name=record.outcome, message=f"DVC: {record.outcome.lower()}, {record.seconds} s", data=record)


def may_pass(task: Any, run: Any, state: State[Any]) -> bool:
    """Whether another try may help: not where data or parameters are at fault, which stay as they are."""
    return not isinstance(state.data, BadInput)


def bring_up_to_date(
    workspace: Path,
    graph: Mapping[str, set[str]],
    effort: Effort,
    forced: Collection[str] = (),
    kept: Collection[str] = (),
    after: Callable[[Path], object] | None = None,
) -> list[dict[str, Any]]:
    """Bring the stages of `graph` up to date; what DVC did with each, in run order, which is shown beside the run.

    Those in `kept` are left as they are. `after` is called with the workspace, also where stages failed. Raises
    `StageFailed` with the messages of the stages that failed.
    """
    one_stage = dvc_stage.with_options(
        retries=effort.retries,
        retry_delay_seconds=exponential_backoff(effort.retry_delay_s),
        retry_condition_fn=may_pass,
    )

    def submit(stage: str, upstream: list[PrefectFuture[Any]]) -> PrefectFuture[Any]:
        parameters = {"force": stage in forced, "timeout_s": effort.timeout_s}
        return one_stage.submit(stage, workspace, **parameters, wait_for=upstream, return_state=False)

    with children_end_on_error():  # a task's thread cannot be interrupted, so it would be waited for
        futures = run_in_order(without(graph, kept), submit, effort.max_parallel_stages)
    rows = {stage: _row(stage, future.state) for stage, future in futures.items()}
    rows |= {stage: StageRecord(stage, "Kept", None).row() for stage in graph if stage in kept}
    shown = [rows[stage] for stage in [*futures, *(stage for stage in graph if stage in kept)]]
    reporting.show_stages(shown)
    if after is not None:
        after(workspace)
    _raise_failures(futures)
    return shown


def run_in_order(
    graph: Mapping[str, set[str]],
    submit: Callable[[str, list[PrefectFuture[Any]]], PrefectFuture[Any]],
    max_parallel: int,
) -> dict[str, PrefectFuture[Any]]:
    """Submit every stage once those it waits for have ended, the first of the file first, `max_parallel` at a time.

    Stages below a failed one are submitted too: Prefect then calls them NotReady.
    """
    futures: dict[str, PrefectFuture[Any]] = {}
    running: dict[PrefectFuture[Any], str] = {}
    ended: set[str] = set()
    while len(ended) < len(graph):
        ready = [stage for stage, upstream in graph.items() if stage not in futures and upstream <= ended]
        for stage in ready[: max_parallel - len(running)]:
            futures[stage] = submit(stage, [futures[upstream] for upstream in sorted(graph[stage])])
            running[futures[stage]] = stage
        ended.add(running.pop(next(iter(as_completed(list(running))))))
    wait(list(futures.values()))
    return futures


def _row(stage: str, state: State[Any]) -> dict[str, Any]:
    if state.is_completed():
        record: StageRecord = state.result()
        return record.row()
    return {"stage": stage, "outcome": state.name, "seconds": None}


def _raise_failures(futures: Mapping[str, PrefectFuture[Any]]) -> None:
    states = {stage: future.state for stage, future in futures.items()}
    failed = {stage: state for stage, state in states.items() if state.is_failed() or state.is_crashed()}
    if failed:
        messages = [str(state.result(raise_on_failure=False)) for state in failed.values()]
        not_run = [stage for stage, state in states.items() if stage not in failed and not state.is_completed()]
        if not_run:
            messages.append(f"not run, since they wait for it: {', '.join(not_run)}")
        raise StageFailed("\n".join(messages))
