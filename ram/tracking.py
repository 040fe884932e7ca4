"""Finished runs and models in MLflow; the only module that imports it, and only when it is called.

Without `MLFLOW_TRACKING_URI` everything lies in the workspace: `.state/mlflow.db` and `.state/mlruns`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pandas as pd

from ram.catalog import CATALOG, CHECKED_TABLES, artifact
from ram.params import load_yaml
from ram.provenance import digests, locked_stages, read_provenance
from ram.storage import Table, content_hash, read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT = "ram"
MODEL_NAME = "ram-tagger"
CHECKPOINT = "checkpoint"  # the artifact of a registered model that holds the checkpoint and its thresholds
TRAINING_STAGES = {
    "preliminary": "pretrain",
    "retrained_uncleaned": "retrain@generated",
    "retrained": "retrain@cleaned",
    "finetuned": "finetune",
}
_STATE_DIR = ".state"
_ALIASES = ("champion", "challenger", "previous")
_MLFLOW_TYPES = {
    **dict.fromkeys(("int8", "int16", "int32"), "integer"), "int64": "long", "float": "float", "double": "double",
    "bool": "boolean",
}  # fmt: skip
# MLflow's own limits
_METRICS_PER_CALL, _PARAMS_PER_CALL, _MAX_PARAM_LENGTH = 1000, 100, 6000


def tracking_uri(workspace: Path = Path()) -> str:
    """`MLFLOW_TRACKING_URI`, or the data base of the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(workspace / _STATE_DIR / 'mlflow.db').resolve()}"


def import_mlflow() -> ModuleType:
    """MLflow with its telemetry off and without its log of migrations and of what it infers."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    for name in ("alembic", "mlflow.store.db.utils", "mlflow.models.signature", "mlflow.pyfunc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def connect(workspace: Path = Path()) -> tuple[MlflowClient, str]:
    """A client of the workspace's tracking server, and the id of the experiment there; made where it is missing."""
    mlflow = import_mlflow()
    uri = tracking_uri(workspace)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, experiment.experiment_id
    local = None if uri.startswith(("http:", "https:")) else (workspace / _STATE_DIR / "mlruns").resolve().as_uri()
    return client, client.create_experiment(EXPERIMENT, artifact_location=local)


def track_run(workspace: Path = Path()) -> str:
    """Write the finished pipeline run to MLflow and return its run id; the same dvc.lock and revision twice is one run.

    One run a pipeline run, and one below it for each model that was trained. What a partial run has not made is listed
    on standard error and in the tag `missing`.
    """
    client, experiment_id = connect(workspace)
    provenance = read_provenance(workspace)
    keys = {name: provenance.tags()[name] for name in ("dvc_lock", "git_revision")}
    same = " and ".join(f"tags.{name} = '{value}'" for name, value in keys.items())
    found = client.search_runs([experiment_id], f"attributes.status = 'FINISHED' and tags.kind = 'pipeline' and {same}")
    if found:
        return found[0].info.run_id
    tags = {**provenance.tags(), "kind": "pipeline"}
    missing: list[str] = []
    with _run(client, experiment_id, f"pipeline-{provenance.lock_hash[:8]}", tags) as run_id:
        _log_pipeline(client, run_id, workspace, missing)
        for model, stage in TRAINING_STAGES.items():
            if stage not in locked_stages(workspace):
                missing.append(f"stage {stage}")
                continue
            child_tags = {**provenance.tags(), "kind": "training", "stage": stage, "mlflow.parentRunId": run_id}
            with _run(client, experiment_id, model, child_tags) as child_id:
                _log_training(client, child_id, workspace, model, stage, missing)
        client.set_tag(run_id, "missing", ", ".join(missing))
    if missing:
        print(f"tracked without what is not there: {', '.join(missing)}", file=sys.stderr)
    return run_id


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


def champion_dir(workspace: Path = Path()) -> Path:
    """The folder of the champion's checkpoint, with its thresholds."""
    return model_dir("champion", workspace)


def model_dir(uri: str, workspace: Path = Path()) -> Path:
    """The folder of a registered checkpoint, downloaded once: `champion`, a version, or `models:/name@alias`.

    Raises `ValueError` where the registry has no such model.
    """
    client, _ = connect(workspace)
    version = find_version(client, uri)
    directory = workspace / _STATE_DIR / "models" / version.name / str(version.version)
    if not directory.is_dir():
        _download(client, version, directory)
    return directory


def find_version(client: MlflowClient, uri: str) -> ModelVersion:
    """The version that is called `champion`, `3` or `models:/name@alias`; `ValueError` where there is none."""
    from mlflow.exceptions import MlflowException

    match = re.fullmatch(r"(?:models:/(?P<name>[^@/]+)[@/])?(?P<version>[\w.-]+)", uri)
    if match is None:
        raise ValueError(f"{uri!r} names no model; write champion, a version number or models:/{MODEL_NAME}@champion")
    name, version = match["name"] or MODEL_NAME, match["version"]
    try:
        if version.isdigit():
            return client.get_model_version(name, version)
        return client.get_model_version_by_alias(name, version)
    except MlflowException as error:
        raise ValueError(
            f"the registry {client.tracking_uri} has no model {uri!r}: {error.message}. `ram models list` lists them; "
            f"`ram models register` and `ram models promote` make one; the aliases are {', '.join(_ALIASES)}"
        ) from error


@contextmanager
def fetch(client: MlflowClient, run_id: str, name: str) -> Iterator[Path]:
    """A temporary copy of an artifact of a run, a file or a folder; `ValueError` where the run has none of that name."""
    mlflow = import_mlflow()
    with tempfile.TemporaryDirectory(prefix="ram-fetch-") as directory:
        try:
            path = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=name, dst_path=directory, tracking_uri=client.tracking_uri
            )
        except (OSError, mlflow.exceptions.MlflowException) as error:
            raise ValueError(f"run {run_id} has no artifact {name}: {error}") from error
        yield Path(path)


def _download(client: MlflowClient, version: ModelVersion, directory: Path) -> None:
    mlflow = import_mlflow()
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.tmp{os.getpid()}")
    source = client.get_model_version_download_uri(version.name, version.version)
    try:
        path = Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"{source}/artifacts/{CHECKPOINT}",
                dst_path=str(temporary),
                tracking_uri=client.tracking_uri,
            )
        )
        if (found := content_hash(path)) != version.tags["content"]:
            raise RuntimeError(f"version {version.version} came with content {found}, not {version.tags['content']}")
        path.replace(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
