"""The progress of a stage beside its run, read from the lines that the stage prints (`ram.io.progress`)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from uuid import UUID

_LINE = re.compile(r"^(?P<what>.+?): (?P<count>\d+)/(?P<total>\d+) \S+, .+ s left(?:, (?P<status>.+))?$")
UPDATE_EVERY_S = 5.0


def progress_of(line: str) -> tuple[str, float] | None:
    """What a line of a stage says is done and to which share, in percent; None for a line that says no such thing."""
    match = _LINE.match(line)
    if match is None or int(match["total"]) == 0:
        return None
    status = f": {match['status']}" if match["status"] else ""
    return f"{match['what']}{status}", 100.0 * int(match["count"]) / int(match["total"])


class StageProgress:
    """Passes lines on, and shows what they say of the stage's progress as an artifact of the task run."""

    def __init__(self, stage: str, pass_on: Callable[[str], object]) -> None:
        self._key = "progress-" + re.sub(r"[^a-z0-9]+", "-", stage.lower())
        self._stage = stage
        self._pass_on = pass_on
        self._artifact: UUID | None = None
        self._last_s = float("-inf")

    def __call__(self, line: str) -> None:
        self._pass_on(line)
        found = progress_of(line)
        if found is not None and time.monotonic() - self._last_s >= UPDATE_EVERY_S:
            self._show(*found)

    def finish(self) -> None:
        """Show that the stage is done, where it has shown progress before."""
        if self._artifact is not None:
            self._show(f"{self._stage}: done", 100.0)

    def _show(self, description: str, percent: float) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        self._last_s = time.monotonic()
        if self._artifact is None:
            self._artifact = create_progress_artifact(percent, key=self._key, description=description)  # type: ignore[assignment]
        else:
            update_progress_artifact(self._artifact, progress=percent, description=description)
