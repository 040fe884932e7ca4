"""The pipeline as a Prefect flow: one task a stage of dvc.yaml, then tracking, registering and promoting.

`python -m flows.pipeline` runs it once, with a Prefect server of its own for as long as it lasts.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from flows import reporting
from flows.environment import STATE_DIR
from flows.local_server import prefect_api
from flows.processes import children_end_on_error, exclusive, exit_on_sigterm
from flows.promotion import promotion
from flows.stage_graph import StageFailed, StageRecord, expand, read_graph, repro, select
from ram.catalog import artifact

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


# DVC is the only cache: with one of Prefect's beside it there would be two answers to "is this up to date?"
@task(task_run_name="dvc:{stage}", cache_policy=NO_CACHE, persist_result=False)
def dvc_stage(stage: str, workspace: Path, force: bool = False, timeout_s: float | None = None) -> Any:
    """Bring one stage up to date; the task's state is named after what DVC did: Ran, Restored or Cached."""
    record = repro(workspace, stage, get_run_logger().info, force, timeout_s)
    return Completed(name=record.outcome, message=f"DVC: {record.outcome.lower()}, {record.seconds} s", data=record)


@task(cache_policy=NO_CACHE, persist_result=False)
def data_quality(workspace: Path) -> Path:
    """Measure the data, add them to the history of the runs, and write the page; where it is."""
    from ram.quality_report.page import make_page

    return make_page(workspace, num_runs=30, num_pictures=6, max_seconds=20)


@flow(name="pipeline", persist_result=False)
def pipeline(
    targets: list[str] | None = None,
    force: list[str] | None = None,
    workspace: Path = Path(),
    max_parallel_stages: int = 1,
    retries: int = 0,
    retry_delay_s: float = 10.0,
    timeout_s: float | None = None,
    publish: bool | None = None,
) -> list[dict[str, Any]]:
    """Bring `targets` and all they need up to date, all stages for None; what DVC did with each, in run order.

    Stages in `force` run even if nothing changed. A failed stage is tried again `retries` times, after `retry_delay_s`
    seconds, then twice as long, and so on; `timeout_s` is for one try of one stage. `publish`: afterwards write the
    run to MLflow, register the model and promote it if it is better; None does so where the whole graph ran.
    Raises `StageFailed` with the messages of the stages that failed.
    """
    if max_parallel_stages < 1:
        raise ValueError(f"max_parallel_stages must be at least 1, got {max_parallel_stages}")
    workspace = workspace.resolve()
    log = get_run_logger()
    with exclusive(
        workspace / STATE_DIR / "pipeline.lock",
        lambda: log.warning("another run of the pipeline works in %s; waiting for it", workspace),
    ):
        graph = read_graph(workspace)
        forced = set(expand(graph, force or []))
        one_stage = dvc_stage.with_options(
            retries=retries,
            retry_delay_seconds=exponential_backoff(retry_delay_s),
        )

        def submit(stage: str, upstream: list[PrefectFuture[Any]]) -> PrefectFuture[Any]:
            knobs = {"force": stage in forced, "timeout_s": timeout_s}
            return one_stage.submit(stage, workspace, **knobs, wait_for=upstream, return_state=False)

        with children_end_on_error():  # a task's thread cannot be interrupted, so it would be waited for
            futures = run_in_order(select(graph, targets), submit, max_parallel_stages)
        rows = [_row(stage, future.state) for stage, future in futures.items()]
        reporting.show_stages(rows)
        # Also of a run that failed: a table that did not pass its check is what people want to look at.
        if publish or (publish is None and targets is None):
            _show_quality(workspace)
        _raise_failures(futures)
        reporting.show_results(workspace)
        if publish or (publish is None and targets is None):
            promotion(workspace)
    return rows


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


def _show_quality(workspace: Path) -> None:
    """Write the page where something was ingested; a page that cannot be made is said, and is not the pipeline's failure."""
    if not (workspace / artifact("images").path).is_dir():
        return
    state = data_quality(workspace, return_state=True)
    if not state.is_completed():
        get_run_logger().warning("no page of the data's quality: %s", state.result(raise_on_failure=False))


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pipeline in this folder and say where its results are; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=main.__doc__)
    parser.add_argument("targets", nargs="*", help="stages of dvc.yaml; none: all")
    parser.add_argument("--force", action="append", default=[], metavar="STAGE", help="run it though nothing changed")
    parser.add_argument("--max-parallel-stages", type=int, default=1, metavar="N")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="more tries of a failed stage")
    parser.add_argument("--timeout-s", type=float, metavar="S", help="for one try of one stage")
    parser.add_argument(
        "--publish",
        action=argparse.BooleanOptionalAction,
        help="track, register and promote afterwards; the default does where no targets are given",
    )
    options = parser.parse_args(arguments)
    exit_on_sigterm()
    # the message of a failed stage is what helps; Prefect's traceback of its own engine around it does not
    logging.getLogger("prefect.flow_runs").addFilter(_without_traceback)
    with prefect_api(Path()) as url:
        print(f"runs are shown at {url.removesuffix('/api')} while this lasts", flush=True)
        try:
            state = pipeline(
                targets=options.targets or None,
                force=options.force,
                max_parallel_stages=options.max_parallel_stages,
                retries=options.retries,
                timeout_s=options.timeout_s,
                publish=options.publish,
                return_state=True,
            )
        except KeyboardInterrupt:
            print("interrupted; the next run goes on from the stages that are done", file=sys.stderr)
            return 128 + signal.SIGINT
    if not state.is_completed():
        print(f"\nthe pipeline failed: {state.result(raise_on_failure=False)}", file=sys.stderr)
        return 1
    print(f"\n{reporting.where_to_look(Path())}")
    print(f"  past runs      {shlex.join([sys.executable, '-m', 'flows.local_server'])}")
    return 0


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = record.exc_text = None
    return True


if __name__ == "__main__":
    sys.exit(main())
