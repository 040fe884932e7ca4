"""A finished pipeline run in MLflow: one run, and one below it for each model that was trained."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ram.io.locks import exclusive
from ram.io.tables import Table, read_json
from ram.pipeline.catalog import CATALOG, CHECKED_TABLES, artifact
from ram.pipeline.params import load_yaml
from ram.tracking.provenance import digests, locked_stages, read_provenance
from ram.tracking.server import STATE_DIR, WORKSPACE_TAG, connect, workspace_name

if TYPE_CHECKING:
    from ram.tracking.server import MlflowClient

TRAINING_STAGES = {
    "preliminary": "pretrain",
    "retrained_uncleaned": "retrain@generated",
    "retrained": "retrain@cleaned",
    "finetuned": "finetune",
}
_MLFLOW_TYPES = {
    **dict.fromkeys(("int8", "int16", "int32"), "integer"), "int64": "long", "float": "float", "double": "double",
    "bool": "boolean",
}  # fmt: skip
# MLflow's own limits
_METRICS_PER_CALL, _PARAMS_PER_CALL, _MAX_PARAM_LENGTH = 1000, 100, 6000


def track_run(workspace: Path = Path()) -> str:
    """Write the finished pipeline run to MLflow and return its run id; the same dvc.lock and revision twice is one run.

    One run a pipeline run, and one below it for each model that was trained. What a partial run has not made is listed
    on standard error and in the tag `missing`. Runs of this workspace that a kill left unfinished are marked KILLED.
    """
    with exclusive(workspace / STATE_DIR / "tracking.lock"):  # so that what is unfinished is nobody's any more
        return _track_run(workspace)


def _track_run(workspace: Path) -> str:
    client, experiment_id = connect(workspace)
    _end_killed(client, experiment_id, workspace)
    provenance = read_provenance(workspace)
    keys = {name: provenance.tags()[name] for name in ("dvc_lock", "git_revision")}
    same = " and ".join(f"tags.{name} = '{value}'" for name, value in keys.items())
    found = client.search_runs([experiment_id], f"attributes.status = 'FINISHED' and tags.kind = 'pipeline' and {same}")
    if found:
        return found[0].info.run_id
    tags = {**provenance.tags(), WORKSPACE_TAG: workspace_name(workspace)}
    missing: list[str] = []
    with _run(client, experiment_id, f"pipeline-{provenance.lock_hash[:8]}", {**tags, "kind": "pipeline"}) as run_id:
        _log_pipeline(client, run_id, workspace, missing)
        for model, stage in TRAINING_STAGES.items():
            if stage not in locked_stages(workspace):
                missing.append(f"stage {stage}")
                continue
            child_tags = {**tags, "kind": "training", "stage": stage, "mlflow.parentRunId": run_id}
            with _run(client, experiment_id, model, child_tags) as child_id:
                _log_training(client, child_id, workspace, model, stage, missing)
        client.set_tag(run_id, "missing", ", ".join(missing))
    if missing:
        print(f"tracked without what is not there: {', '.join(missing)}", file=sys.stderr)
    return run_id


def _end_killed(client: MlflowClient, experiment_id: str, workspace: Path) -> None:
    """Mark the runs of this workspace that a killed process left unfinished, and those below them, as KILLED."""
    mine = f"tags.{WORKSPACE_TAG} = '{workspace_name(workspace)}'"
    for run in client.search_runs([experiment_id], f"attributes.status = 'RUNNING' and {mine}"):
        below = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
        for unfinished in (*below, run):
            client.set_terminated(unfinished.info.run_id, "KILLED")


@contextmanager
def _run(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """The id of a new run that ends FINISHED, or FAILED where the body raises."""
    run_id = client.create_run(experiment_id, tags=dict(tags), run_name=name).info.run_id
    try:
        yield run_id
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)


def _log_pipeline(client: MlflowClient, run_id: str, workspace: Path, missing: list[str]) -> None:
    _log_params(client, run_id, load_yaml(workspace / "params.yaml"))
    _log_inputs(client, run_id, workspace, ["evaluate"], "evaluation")
    evaluation = workspace / artifact("evaluation").path
    if evaluation.is_file():
        _log_metrics(client, run_id, [(name, value, 0) for name, value in flat_metrics(read_json(evaluation)).items()])
    checks = [f"{table}_check" for table in CHECKED_TABLES]
    for name in ("evaluation", "report", "thresholds", "label_system", *checks):
        path = workspace / artifact(name).path
        if not path.exists():
            missing.append(name)
        elif path.is_dir():
            client.log_artifacts(run_id, str(path), name)
        else:
            client.log_artifact(run_id, str(path), "checks" if name in checks else None)
    for name in ("params.yaml", "dvc.lock"):
        client.log_artifact(run_id, str(workspace / name))


def _log_training(
    client: MlflowClient, run_id: str, workspace: Path, model: str, stage: str, missing: list[str]
) -> None:
    sections = load_yaml(workspace / "params.yaml")
    own = stage.partition("@")[0]
    _log_params(client, run_id, {name: sections[name] for name in (own, "model", "seed") if name in sections})
    _log_inputs(client, run_id, workspace, [stage], "training")
    curves = workspace / artifact(f"{model}_curves").path
    if not curves.is_file():
        missing.append(curves.name)
        return
    rows = pd.read_csv(curves).dropna(subset=["value"])
    names = (rows["split"] + "/" + rows["metric"]).map(_metric_name)
    _log_metrics(client, run_id, zip(names, rows["value"].astype(float), rows["step"].astype(int), strict=True))


def _log_params(client: MlflowClient, run_id: str, sections: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(name, str(value)[:_MAX_PARAM_LENGTH]) for name, value in _flatten(sections, ".")]
    for start in range(0, len(params), _PARAMS_PER_CALL):
        client.log_batch(run_id, params=params[start : start + _PARAMS_PER_CALL])


def _log_metrics(client: MlflowClient, run_id: str, rows: Iterable[tuple[str, float, int]]) -> None:
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    metrics = [Metric(name, value, now_ms, step) for name, value, step in rows]
    for start in range(0, len(metrics), _METRICS_PER_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_PER_CALL])


def _log_inputs(client: MlflowClient, run_id: str, workspace: Path, stages: Iterable[str], context: str) -> None:
    """The data that the stages read, with the digests that DVC knows it by."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    locked = locked_stages(workspace)
    read = {p: md5 for stage in stages for p, md5 in digests(locked.get(stage, {}).get("deps", [])).items()}
    inputs = []
    for path, md5 in read.items():
        if path.startswith("data/"):
            schema, profile = _describe(path, workspace)
            dataset = Dataset(
                Path(path).stem, md5.removesuffix(".dir"), "local", json.dumps({"uri": path}), schema, profile
            )
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context), InputTag("path", path)]))
    if inputs:
        client.log_inputs(run_id, inputs)


def _describe(path: str, workspace: Path) -> tuple[str | None, str | None]:
    """Schema and profile of a table as MLflow writes those of its own datasets; None for what is no table, or not there."""
    known = {entry.path.as_posix(): entry.schema for entry in CATALOG.values() if entry.schema is not None}
    if path not in known or not (workspace / path).is_dir():
        return None, None
    from mlflow.types import ColSpec, Schema

    table = Table(workspace / path, known[path])
    columns: list[Any] = [
        ColSpec(_MLFLOW_TYPES.get(str(c.type), "string"), name=c.name, required=not c.nullable) for c in table.schema
    ]
    num_bytes = sum(part.stat().st_size for part in table.part_paths)
    profile = {"num_rows": table.num_rows, "num_parts": len(table.part_paths), "num_bytes": num_bytes}
    return json.dumps({"mlflow_colspec": Schema(columns).to_dict()}), json.dumps(profile)


def flat_metrics(document: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a nested document by path, "finetuned/coco/mAP", in characters that MLflow allows."""
    return {
        _metric_name(name): float(value)
        for name, value in _flatten(document, "/")
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _metric_name(name: str) -> str:
    return re.sub(r"[^\w\-./ ]", "_", name, flags=re.ASCII)


def _flatten(value: Any, separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, separator, f"{prefix}{separator}{key}" if prefix else str(key))
    else:
        yield prefix, value
