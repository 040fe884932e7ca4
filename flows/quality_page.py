"""The page of the data's quality, as a step of a run."""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ram.pipeline.catalog import artifact


@task(cache_policy=NO_CACHE, persist_result=False)
def quality_page(workspace: Path) -> Path:
    """Measure the data, add them to the history of the runs, and write the page; where it is."""
    from ram.reports.data.page import make_page

    return make_page(workspace, num_runs=30, num_images=6, max_seconds=20)


def show_quality(workspace: Path) -> None:
    """Write the page where something was ingested; a page that cannot be made is said, and is not the run's failure."""
    if not (workspace / artifact("images").path).is_dir():
        return
    state = quality_page(workspace, return_state=True)
    if not state.is_completed():
        get_run_logger().warning("no page of the data's quality: %s", state.result(raise_on_failure=False))
