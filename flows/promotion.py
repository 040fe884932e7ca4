"""Track, register, promote: what acts outside the workspace, after DVC, as a Prefect flow of its own.

Each step is keyed by the content of what it handles, so that running this twice changes nothing.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from flows.hooks import ON_BAD_END
from flows.reporting import run_link
from flows.workspace import workspace_alone


@task(cache_policy=NO_CACHE, persist_result=False)
def track(workspace: Path) -> str:
    """Write the run to MLflow; its id there."""
    from ram.registry.log import track

    return track(workspace)


@task(cache_policy=NO_CACHE, persist_result=False)
def register(workspace: Path) -> str:
    """Register the fine-tuned model as challenger; its version."""
    from ram.registry.publish import register

    return register(workspace)


@task(cache_policy=NO_CACHE, persist_result=False)
def make_comparable(workspace: Path) -> str | None:
    """Score the champion on the test images of now, where it was scored on others; its version if that was needed."""
    from ram.registry.versions import make_comparable

    return make_comparable(workspace)


@task(cache_policy=NO_CACHE, persist_result=False)
def promote(workspace: Path) -> Any:
    """Let the challenger replace the champion if it is better; the task's state is named after the decision."""
    from ram.registry.publish import promote

    decision = promote(workspace)
    return Completed(name=decision["outcome"].capitalize(), message="; ".join(decision["failures"]), data=decision)


@flow(name="promotion", persist_result=False, **ON_BAD_END)
def promotion(workspace: Path = Path(), alone: bool = True) -> dict[str, Any]:
    """Track the last run, register its model and decide on it; the decision. A refusal is a decision, not a failure.

    `alone`: no run may work in the workspace meanwhile; false where the caller sees to that.
    """
    from prefect.artifacts import create_markdown_artifact

    workspace = workspace.resolve()
    log = get_run_logger()
    with workspace_alone(workspace, log.warning) if alone else nullcontext():
        run_id = track(workspace)
        version = register(workspace)
        if rescored := make_comparable(workspace):
            log.info("champion version %s was scored on the test images of now", rescored)
        decision: dict[str, Any] = promote(workspace, return_state=True).result()  # its state, which has a name
    log.info("MLflow run %s, version %s: %s", run_id, version, decision["outcome"])
    shown = f"{as_markdown(decision)}\n\nMLflow run: {run_link(workspace, run_id)}"
    create_markdown_artifact(key="decision", markdown=shown, description="Is it the champion now?")
    return decision


def as_markdown(decision: dict[str, Any]) -> str:
    """A decision for people: what was decided, then every rule with what it found."""
    lines = [f"## Version {decision['version']}: {decision['outcome']}", "", "| rule | kept | found |", "|---|---|---|"]
    lines += [f"| {r['rule']} | {'yes' if r['passed'] else '**no**'} | {r['detail']} |" for r in decision["rules"]]
    return "\n".join(
        [*lines, "", f"Champion: version {decision['champion']}. Before: {decision['previous'] or 'none'}."]
    )
