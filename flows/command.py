"""A flow as a command: with a Prefect server of its own where none is set, and an exit status."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.local_server import prefect_api
from flows.processes import exit_on_sigterm
from ram.io.redact import redacted


def run_here(run: Callable[[], Any], name: str, next_time: str, then: Callable[[Any], None]) -> int:
    """Run a flow from this folder, and `then` with its result; the exit status.

    `run` calls the flow with `return_state=True`. `next_time` says what the next run does after an interruption.
    """
    exit_on_sigterm()
    # the message of a failed stage is what helps; Prefect's traceback of its own engine around it does not
    logging.getLogger("prefect.flow_runs").addFilter(_without_traceback)
    with prefect_api(Path()) as url:
        print(f"runs are shown at {redacted(url).removesuffix('/api')} while this lasts", flush=True)
        try:
            state = run()
        except KeyboardInterrupt:
            print(f"interrupted; the next run {next_time}", file=sys.stderr)
            return 128 + signal.SIGINT
    if not state.is_completed():
        print(f"\nthe {name} failed: {state.result(raise_on_failure=False)}", file=sys.stderr)
        return 1
    print()
    then(state.result())
    return 0


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = record.exc_text = None
    return True
