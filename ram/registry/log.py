"""Adds to the MLflow run of a workspace what people look for there: figures, confusions, resources, checks, tags."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ram.evaluation.benchmarks import load_benchmarks
from ram.io.disk_errors import disk_explained
from ram.io.tables import content_hash, read_json
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import CHECKED_TABLES, artifact
from ram.pipeline.params import load_yaml
from ram.pipeline.resources import CPU, MEMORY, RESOURCES_DIR, resources_path
from ram.registry import figures
from ram.registry.confusion import confusion_counts, confusions, said_at
from ram.reports import data as quality_report
from ram.tracking.pipeline_run import TRAINING_STAGES, track_run
from ram.tracking.provenance import locked_stages
from ram.tracking.server import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DONE = "evidence"  # the tag of a run that has all of this
_NUM_CONFUSIONS = 200
_MAX_IMAGES = 2000  # of a benchmark, that are scored for its confusions


def track(workspace: Path = Path()) -> str:
    """Write the finished run to MLflow with all that belongs to it; its id. What is there already is not written twice."""
    with disk_explained(workspace, "tracking the run"):
        return _track(workspace)


def _track(workspace: Path) -> str:
    run_id = track_run(workspace)
    client, _ = connect(workspace)
    if client.get_run(run_id).data.tags.get(_DONE) == "complete":
        return run_id
    _set_tags(client, run_id, workspace)
    _log_checks(client, run_id, workspace)
    _log_files(client, run_id, workspace)
    _log_figures(client, run_id, workspace)
    _log_resources(client, run_id, workspace)
    _log_confusions(client, run_id, workspace)
    client.set_tag(run_id, _DONE, "complete")
    return run_id


def _there(name: str, workspace: Path) -> bool:
    return (workspace / artifact(name).path).exists()


def _read(name: str, workspace: Path) -> Any:
    return read_artifact(artifact(name), workspace)


def _children(client: MlflowClient, run_id: str) -> dict[str, str]:
    """{model: run id} of the runs of the trained models."""
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{run_id}'")
    return {run.info.run_name: run.info.run_id for run in found}


def _set_tags(client: MlflowClient, run_id: str, workspace: Path) -> None:
    """Tags to search runs by, and a description to read."""
    sections = load_yaml(workspace / "params.yaml")
    checks = {
        table: _read(f"{table}_check", workspace) for table in CHECKED_TABLES if _there(f"{table}_check", workspace)
    }
    failed = [table for table, check in checks.items() if not check["passed"]]
    tags = {
        "sources": ",".join(source["name"] for source in sections.get("list_sources", {}).get("sources", [])),
        "image_encoder": str(sections.get("model", {}).get("image_encoder", "")),
        "checks": "failed: " + ", ".join(failed) if failed else "passed" if checks else "",
    }
    if _there("label_system", workspace):
        labels = _read("label_system", workspace)
        tags |= {"label_system": str(labels.get("version", "")), "num_tags": str(len(labels["tags"]))}
    lines = [f"- {name.replace('_', ' ')}: {value}" for name, value in tags.items() if value]
    for name, value in {**tags, "mlflow.note.content": "\n".join(lines)}.items():
        if value:
            client.set_tag(run_id, name, value)


def _log_checks(client: MlflowClient, run_id: str, workspace: Path) -> None:
    from mlflow.entities import Metric

    run = client.get_run(run_id)
    metrics = [
        Metric(f"checks/{table}/{rule['name']}", float(rule["value"]), run.info.start_time, 0)
        for table in CHECKED_TABLES
        if _there(f"{table}_check", workspace)
        for rule in _read(f"{table}_check", workspace)["expectations"]
        if rule.get("value") is not None
    ]
    client.log_batch(run_id, metrics=metrics)


def _log_files(client: MlflowClient, run_id: str, workspace: Path) -> None:
    """Reports that the run has not yet, and the page of the data's quality."""
    for name in ("label_system_report", "balance", "generation_report", "cleaning_report"):
        if _there(name, workspace):
            client.log_artifact(run_id, str(workspace / artifact(name).path), "reports")
    for model in TRAINING_STAGES:
        if _there(f"{model}_curves", workspace):
            client.log_artifact(run_id, str(workspace / artifact(f"{model}_curves").path), "reports/curves")
    if (workspace / quality_report.PAGE).is_file():
        client.log_artifact(run_id, str(workspace / quality_report.PAGE), "quality")


def _log_figures(client: MlflowClient, run_id: str, workspace: Path) -> None:
    children = _children(client, run_id)
    for model in TRAINING_STAGES:
        if model in children and _there(f"{model}_curves", workspace):
            curves = _read(f"{model}_curves", workspace)
            client.log_figure(children[model], figures.curves_figure(curves, model), "figures/curves.png")
    if _there("balance", workspace):
        balance = figures.balance_figure(_read("balance", workspace)["tags"])
        client.log_figure(run_id, balance, "figures/tags_by_frequency.png")
    if _there("per_tag_metrics", workspace):
        per_tag = _read("per_tag_metrics", workspace).to_pandas()
        client.log_figure(run_id, figures.precision_figure(per_tag, "finetuned"), "figures/average_precision.png")


def _log_resources(client: MlflowClient, run_id: str, workspace: Path) -> None:
    """Samples as system metrics of the models' runs; what each stage took in all as metrics of the pipeline's."""
    from mlflow.entities import Metric

    children = _children(client, run_id)
    model_of = {stage: model for model, stage in TRAINING_STAGES.items()}
    totals: list[Metric] = []
    for stage, document in stage_resources(workspace):
        samples = pd.DataFrame(document["samples"])
        seconds = samples["seconds"]
        took = {
            "seconds": float(seconds.iloc[-1]),
            "cpu_s": float((samples[CPU] / 100 * seconds.diff().fillna(0)).sum()),
            "peak_memory_megabytes": float(samples[MEMORY].max()),
        }
        when = int(1000 * document["started"])
        totals += [Metric(f"resources/{stage.replace('@', '-')}/{name}", v, when, 0) for name, v in took.items()]
        if (child := children.get(model_of.get(stage, ""))) is not None:
            metrics = [
                Metric(f"system/{name}", float(value), when + int(1000 * row["seconds"]), step)
                for step, row in enumerate(document["samples"])
                for name, value in row.items()
                if name != "seconds"
            ]
            for start in range(0, len(metrics), 1000):
                client.log_batch(child, metrics=metrics[start : start + 1000])
    client.log_batch(run_id, metrics=totals)


def stage_resources(workspace: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stage, what the runner sampled) of stages whose outputs are still those of the sampled run.

    DVC may have brought back the outputs of another run since; what that one took is not known any more.
    """
    if not (workspace / RESOURCES_DIR).is_dir():
        return
    for stage in locked_stages(workspace):
        path = resources_path(workspace, stage)
        if path.is_file():
            document = read_json(path)
            known = {name: digest for name, digest in document["outputs"].items() if (workspace / name).is_file()}
            if known == document["outputs"] and all(content_hash(workspace / n) == d for n, d in known.items()):
                yield stage, document


def _log_confusions(client: MlflowClient, run_id: str, workspace: Path) -> None:
    """A table and a figure of which names the fine-tuned model says instead of which, for each benchmark's test images."""
    needed = ("finetuned_model", "thresholds", "images", "image_shards", "image_features", "labels", "benchmarks")
    missing = [name for name in needed if not _there(name, workspace)]
    if missing:
        print(f"tracked without confusions, which want {', '.join(missing)}", file=sys.stderr)
        return
    from ram.evaluation.scoring import BenchmarkScorer

    images, labels, facts = (_read(name, workspace) for name in ("images", "labels", "benchmarks"))
    paths = [workspace / artifact(name).path for name in ("finetuned_model", "image_shards", "image_features")]
    scorer = BenchmarkScorer(paths[0], images, paths[1], paths[2], batch_size=64)
    thresholds = _read("thresholds", workspace)
    for benchmark in load_benchmarks(facts, images, labels, "test"):
        num = min(len(benchmark.image_ids), _MAX_IMAGES)
        some = replace(benchmark, image_ids=benchmark.image_ids[:num], positive_NK=benchmark.positive_NK[:num])
        scored = scorer(some, f"confusions on {benchmark.name}")
        tags = [match.tag.name if match.tag else None for match in scored.matches]
        said_NK = said_at(scored.own_NK, some.names, tags, thresholds)
        pairs = confusions(said_NK, some.positive_NK, some.names, _NUM_CONFUSIONS)
        client.log_text(run_id, pairs.to_csv(index=False), f"confusion/{benchmark.name}.csv")
        if len(pairs):
            counts = confusion_counts(said_NK, some.positive_NK)
            figure = figures.confusion_figure(*counts, some.names, pairs)
            client.log_figure(run_id, figure, f"figures/confusion_{benchmark.name}.png")
