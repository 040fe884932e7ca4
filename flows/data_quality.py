"""Checks and drift of what the sources hold now, without training on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from flows import reporting
from flows.hooks import ON_BAD_END
from flows.quality_page import show_quality
from flows.stage_graph import expand, read_graph, select
from flows.stages import Effort, bring_up_to_date
from flows.workspace import workspace_alone
from ram.io.tables import read_json
from ram.pipeline.catalog import artifact

TABLES = ("pairs", "parsed_tags")  # what is there before any model has run


class ChecksFailed(RuntimeError):
    """A table did not pass; the message has the rules that it broke."""


@flow(name="data_quality", persist_result=False, **ON_BAD_END)
def data_quality(
    workspace: Path = Path(),
    tables: Sequence[str] = TABLES,
    keep: list[str] | None = None,
    retries: int = 0,
    retry_delay_s: float = 10.0,
    timeout_s: float | None = None,
) -> list[dict[str, Any]]:
    """Read what is new, parse it and check the tables; a row a table: passed, failures, what moved.

    The run fails where a table did: `ChecksFailed`. What is parsed here, the next run of the pipeline need not parse.
    """
    effort = Effort(retries=retries, retry_delay_s=retry_delay_s, timeout_s=timeout_s)
    workspace = workspace.resolve()
    with workspace_alone(workspace, get_run_logger().warning):
        graph = read_graph(workspace)
        wanted = select(graph, [f"check_tables@{table}" for table in tables])
        bring_up_to_date(workspace, wanted, effort, kept=set(expand(graph, keep or [])), after=show_quality)
        rows = list(check_rows(workspace, tables))
        reporting.show_checks(workspace, rows)
    if failed := [row for row in rows if not row["passed"]]:
        raise ChecksFailed("\n".join(f"{row['table']}: {row['failures']}" for row in failed))
    return rows


def check_rows(workspace: Path, tables: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The reports of the checks, a row a table."""
    for table in tables:
        report = read_json(workspace / artifact(f"{table}_check").path)
        yield {
            "table": table,
            "passed": report["passed"],
            "rows": report.get("num_rows"),
            "failures": "; ".join(report["failures"]),
            "notes": " ".join(report.get("notes", ())),
        }
