"""What happens when a run ends badly: people hear of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State


def tell(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    """Write the end of a run to `.state/events.jsonl` of its workspace, and to the web hook where one is set."""
    from ram.pipeline.notify import notify

    workspace = Path(str(run.parameters.get("workspace", "."))).resolve()
    text = f"{flow.name} {run.name}: {state.name}. {state.message or ''}".strip()
    facts = {"flow": flow.name, "run": run.name, "run_id": str(run.id), "state": state.name}
    notify(state.type.value.lower(), text, facts, workspace)


ON_BAD_END: dict[str, Any] = {"on_failure": [tell], "on_crashed": [tell], "on_cancellation": [tell]}
