"""The pipeline as a Prefect flow: one task a stage of dvc.yaml, then tracking, registering and promoting.

`python -m flows.pipeline` runs it once, with a Prefect server of its own for as long as it lasts.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from flows import reporting
from flows.command import run_here
from flows.hooks import ON_BAD_END
from flows.promotion import promotion
from flows.quality_page import show_quality
from flows.stage_graph import expand, read_graph, select
from flows.stages import Effort, bring_up_to_date
from flows.workspace import use_recipe, workspace_alone


@flow(name="pipeline", persist_result=False, **ON_BAD_END)
def pipeline(
    targets: list[str] | None = None,
    force: list[str] | None = None,
    workspace: Path = Path(),
    recipe: str | None = None,
    from_stage: str | None = None,
    to_stage: str | None = None,
    keep: list[str] | None = None,
    max_parallel_stages: int = 1,
    retries: int = 0,
    retry_delay_s: float = 10.0,
    timeout_s: float | None = None,
    publish: bool | None = None,
) -> list[dict[str, Any]]:
    """Bring `targets` and all they need up to date, all stages for None; what DVC did with each, in run order.

    `to_stage` is one target; with `from_stage`, only what follows from that stage is looked at. Stages in `keep` are
    left as they are, though their inputs changed: what was made by the label system and the preliminary model of before
    then goes on to be made by them, so that new data costs no more than its own size. Stages in `force` run even if
    nothing changed. `recipe` is made the active params.yaml first.

    A stage that failed is tried again `retries` times, but not for bad data or parameters, after `retry_delay_s` seconds,
    then twice as long, and so on; `timeout_s` is for one try of one stage. `publish`: afterwards write the run to
    MLflow, register the model and promote it if it is better; None does so where the whole graph ran.
    Raises `StageFailed` with the messages of the stages that failed.
    """
    if targets is not None and to_stage is not None:
        raise ValueError(f"give targets or to_stage, not both, got {targets} and {to_stage!r}")
    effort = Effort(
        max_parallel_stages=max_parallel_stages, retries=retries, retry_delay_s=retry_delay_s, timeout_s=timeout_s
    )
    targets = targets if to_stage is None else [to_stage]
    workspace = workspace.resolve()
    log = get_run_logger()
    with workspace_alone(workspace, log.warning):
        if recipe is not None:
            use_recipe(workspace, recipe, log.info)
        graph = read_graph(workspace)
        kept, forced = set(expand(graph, keep or [])), set(expand(graph, force or []))
        publish = targets is None if publish is None else publish
        # the page also of a run that failed: a table that did not pass its check is what people want to look at
        after = show_quality if publish else None
        rows = bring_up_to_date(workspace, select(graph, targets, from_stage), effort, forced, kept, after)
        reporting.show_results(workspace)
        if publish:
            promotion(workspace, alone=False)
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=main.__doc__)
    parser.add_argument("targets", nargs="*", help="stages of dvc.yaml; none: all")
    parser.add_argument("--force", action="append", default=[], metavar="STAGE", help="run it though nothing changed")
    parser.add_argument("--keep", action="append", default=[], metavar="STAGE", help="leave it as it is")
    parser.add_argument("--recipe", metavar="NAME", help="make this recipe the active params.yaml first")
    parser.add_argument("--from-stage", metavar="STAGE", help="only what follows from this stage")
    parser.add_argument("--max-parallel-stages", type=int, default=1, metavar="N")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="more tries of a failed stage")
    parser.add_argument("--timeout-s", type=float, metavar="S", help="for one try of one stage")
    parser.add_argument(
        "--publish",
        action=argparse.BooleanOptionalAction,
        help="track, register and promote afterwards; the default does where no targets are given",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pipeline in this folder and say where its results are; the exit status."""
    options = vars(_parser().parse_args(arguments))
    options["targets"] = options["targets"] or None
    return run_here(
        lambda: pipeline(**options, return_state=True), "pipeline", "goes on from the stages that are done", _say
    )


def _say(_: object) -> None:
    print(reporting.where_to_look(Path()))
    print(f"  past runs      {shlex.join([sys.executable, '-m', 'flows.local_server'])}")


if __name__ == "__main__":
    sys.exit(main())
