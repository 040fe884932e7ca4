"""Serve the deployments of prefect.yaml on this machine: a server, and a runner that starts runs when they are due.

`python -m flows.deployments` needs no work pool and no worker. For several machines make a process work pool, run
`prefect deploy --all` and a worker on each: same file, same flows.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.local_server import prefect_api
from flows.processes import exit_on_sigterm
from ram.io.redact import redacted

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment

NUM_RUNS_AT_A_TIME = 1  # one machine, one workspace


def read_deployments(path: Path = Path("prefect.yaml")) -> list[dict[str, Any]]:
    """The deployments of a prefect.yaml; a `ValueError` where there are none."""
    if not path.is_file():
        raise ValueError(f"no {path} here; run this in the folder of the pipeline")
    found = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("deployments")
    if not found:
        raise ValueError(f"{path} lists no deployments")
    return found


def to_runner_deployment(entry: dict[str, Any]) -> RunnerDeployment:
    """A deployment of prefect.yaml as one that a runner in this process serves."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import EntrypointType

    file, _, name = entry["entrypoint"].partition(":")
    served: Flow[..., Any] = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
    limit = entry.get("concurrency_limit")
    return served.to_deployment(  # type: ignore[return-value]
        name=entry["name"],
        schedules=[_schedule(schedule) for schedule in entry.get("schedules", [])],
        parameters=entry.get("parameters"),
        description=entry.get("description"),
        tags=entry.get("tags"),
        concurrency_limit=ConcurrencyLimitConfig.model_validate(limit) if limit else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _schedule(entry: dict[str, Any]) -> Any:
    """A schedule as prefect.yaml writes it: `cron` or `interval` (seconds), `timezone`, `active`."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import construct_schedule

    times = {key: value for key, value in entry.items() if key not in ("active", "slug", "parameters")}
    return DeploymentScheduleCreate(
        schedule=construct_schedule(**times),
        active=entry.get("active", True),
        slug=entry.get("slug"),
        parameters=entry.get("parameters", {}),
    )


def main() -> int:
    """Serve until Ctrl-C or SIGTERM: first the runner ends and with it the runs it started, then the server."""
    exit_on_sigterm()
    entries = read_deployments()
    with prefect_api(Path()) as url:
        from prefect import serve

        print(
            f"serving {', '.join(e['name'] for e in entries)}; runs are shown at {redacted(url).removesuffix('/api')}",
            flush=True,
        )
        # schedules are what prefect.yaml says, also after a restart
        serve(
            *[to_runner_deployment(entry) for entry in entries],
            limit=NUM_RUNS_AT_A_TIME,
            pause_on_shutdown=False,
            print_starting_message=False,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
