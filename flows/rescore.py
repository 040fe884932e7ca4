"""Tag a folder that grows with the champion, time after time: only what is new is scored."""

from __future__ import annotations

import sys
from pathlib import Path

from prefect import flow, get_run_logger

from flows.environment import child_environment
from flows.hooks import ON_BAD_END
from flows.processes import stream
from flows.stage_graph import BAD_INPUT_STATUS, BadInput, StageFailed

_NUM_TAIL_LINES = 15


@flow(name="rescore", persist_result=False, **ON_BAD_END)
def rescore(
    folder: Path, out: Path, model: str = "champion", workspace: Path = Path(), timeout_s: float | None = None
) -> str:
    """Write the tags of all images of `folder` to `out`, a file a model version; what was done, as a sentence."""
    from prefect.artifacts import create_markdown_artifact

    # a process of its own: the model's memory goes with it
    command = [sys.executable, "-m", "ram", "rescore", str(folder), "--out", str(out), "--model", model]
    done = stream(command, workspace.resolve(), child_environment(), get_run_logger().info, timeout_s)
    said = "\n".join(done.lines[-_NUM_TAIL_LINES:])
    if done.timed_out:
        raise StageFailed(f"rescore was stopped: it took longer than {timeout_s:g} s\n{said}")
    if done.returncode:
        raise (BadInput if done.returncode == BAD_INPUT_STATUS else StageFailed)(said)
    create_markdown_artifact(key="rescored", markdown=done.lines[-1], description="Images tagged by the champion")
    return done.lines[-1]
