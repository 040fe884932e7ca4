"""What people see of a run: tables and links in Prefect, and the same as text at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ram.cli.output import text_table
from ram.io.redact import redacted
from ram.pipeline.catalog import CHECKED_TABLES, artifact
from ram.reports.data import PAGE
from ram.tracking.server import connect, tracking_uri


def show_stages(rows: list[dict[str, Any]]) -> None:
    """Put what DVC did with each stage beside the flow run."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact(
        key="dvc-stages", table=rows, description="What DVC did with each stage, and how long it took"
    )


def show_checks(workspace: Path, rows: list[dict[str, Any]]) -> None:
    """Put the checks and the places of their Data Docs beside the flow run."""
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    create_table_artifact(key="checks", table=rows, description="What the tables were checked for, and their drift")
    lines = [f"- [{name}]({path.as_uri()})" for name, path in pages(workspace).items() if name.startswith("Data Docs")]
    create_markdown_artifact(key="data-docs", markdown="\n".join(lines), description="Data Docs")


def show_results(workspace: Path) -> None:
    """Put the metrics and the places of the reports beside the flow run."""
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    if rows := list(metric_rows(workspace)):
        create_table_artifact(
            key="metrics", table=rows, description="reports/evaluate.json, one row a model and benchmark"
        )
    lines = [f"- [{name}]({path.as_uri()})" for name, path in pages(workspace).items()]
    lines.append(f"- MLflow: `{mlflow_command(workspace)}`")
    create_markdown_artifact(key="where-to-look", markdown="\n".join(lines), description="Report, Data Docs, MLflow")


def pages(workspace: Path) -> dict[str, Path]:
    """The pages that the run wrote, those that are there, as absolute paths."""
    known = {"Report": artifact("report").path / "index.html"}
    known["Data quality"] = PAGE
    known |= {f"Data Docs of {table}": artifact(f"{table}_docs").path / "index.html" for table in CHECKED_TABLES}
    absolute = {name: (workspace / path).resolve() for name, path in known.items()}
    return {name: path for name, path in absolute.items() if path.is_file()}


def mlflow_command(workspace: Path) -> str:
    """The command that shows the tracked runs."""
    return f"mlflow ui --backend-store-uri {redacted(tracking_uri(workspace))}"


def run_link(workspace: Path, run_id: str) -> str:
    """An MLflow run in Markdown: a link where a server shows it, else its id and the command that shows it."""
    uri = tracking_uri(workspace)
    if not uri.startswith(("http://", "https://")):
        return f"`{run_id}`, shown by `{mlflow_command(workspace)}`"
    _, experiment_id = connect(workspace)
    return f"[{run_id}]({redacted(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id})"


def metric_rows(workspace: Path) -> Iterator[dict[str, Any]]:
    """reports/evaluate.json as rows: model, benchmark, and each of the benchmark's plain numbers."""
    path = workspace / artifact("evaluation").path
    if not path.is_file():
        return
    for model, benchmarks in json.loads(path.read_text(encoding="utf-8")).items():
        if not isinstance(benchmarks, Mapping):
            continue
        for benchmark, values in benchmarks.items():
            if isinstance(values, Mapping):
                numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
                yield {"model": model, "benchmark": benchmark, **numbers}


def where_to_look(workspace: Path) -> str:
    """The metrics as a table of text, and where the rest is."""
    lines = [text_table(list(metric_rows(workspace))), ""] if any(metric_rows(workspace)) else []
    lines += [f"  {name:14} {path}" for name, path in pages(workspace).items()]
    return "\n".join([*lines, f"  MLflow         {mlflow_command(workspace)}"])
