"""The tracking server and its registered models. MLflow is imported when something is called, not with the module.

Without `MLFLOW_TRACKING_URI` everything lies in the workspace: `.state/mlflow.db` and `.state/mlruns`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ram.io.locks import exclusive
from ram.io.redact import redacted
from ram.io.tables import content_hash, remove_temporaries, temporary_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT = "ram"
MODEL_NAME = "ram-tagger"
CHECKPOINT = "checkpoint"  # the artifact of a registered model that holds the checkpoint and its thresholds
STATE_DIR = ".state"
WORKSPACE_TAG = "workspace"  # of runs and models that are being written: whose they are, should it be killed
_ALIASES = ("champion", "challenger", "previous")


def tracking_uri(workspace: Path = Path()) -> str:
    """`MLFLOW_TRACKING_URI`, or the data base of the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(workspace / STATE_DIR / 'mlflow.db').resolve()}"


def import_mlflow() -> ModuleType:
    """MLflow with its telemetry off and without its log of migrations and of what it infers."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    for name in ("alembic", "mlflow.models.signature", "mlflow.pyfunc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs what it raises, with the SQL
    return mlflow


def connect(workspace: Path = Path()) -> tuple[MlflowClient, str]:
    """A client of the workspace's tracking server, and the id of the experiment there; made where it is missing."""
    mlflow = import_mlflow()
    uri = tracking_uri(workspace)
    if uri.startswith("sqlite:///"):
        _make_data_base(Path(uri.removeprefix("sqlite:///")))
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, experiment.experiment_id
    local = None if uri.startswith(("http:", "https:")) else (workspace / STATE_DIR / "mlruns").resolve().as_uri()
    return client, client.create_experiment(EXPERIMENT, artifact_location=local)


def _make_data_base(path: Path) -> None:
    """Make the file where it is missing. MLflow makes its tables in many steps, and cannot go on where it was killed."""
    if path.is_file():
        return
    with exclusive(path.with_name(f"{path.name}.lock")):
        remove_temporaries(path.parent, path.name)
        if not path.is_file():
            unfinished = temporary_path(path)
            import_mlflow().MlflowClient(f"sqlite:///{unfinished}").search_experiments()
            unfinished.replace(path)


def workspace_name(workspace: Path) -> str:
    """Which workspace of which machine, for a server that several of them share."""
    return f"{socket.gethostname()}:{workspace.resolve()}".replace("'", "_")  # what MLflow's filters quote with


def champion_dir(workspace: Path = Path()) -> Path:
    """The folder of the champion's checkpoint, with its thresholds."""
    return model_dir("champion", workspace)


def model_dir(uri: str, workspace: Path = Path()) -> Path:
    """The folder of a registered checkpoint, downloaded once: `champion`, a version, or `models:/name@alias`.

    Raises `ValueError` where the registry has no such model.
    """
    client, _ = connect(workspace)
    version = find_version(client, uri)
    directory = workspace / STATE_DIR / "models" / version.name / str(version.version)
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
            f"the registry {redacted(client.tracking_uri)} has no model {uri!r}: {error.message}. `ram models list` lists them; "
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
    source = client.get_model_version_download_uri(version.name, version.version)
    with exclusive(directory.with_name(f"{directory.name}.lock")):
        if directory.is_dir():  # another process was first
            return
        remove_temporaries(directory.parent, directory.name)
        unfinished = temporary_path(directory)
        path = Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"{source}/artifacts/{CHECKPOINT}",
                dst_path=str(unfinished),
                tracking_uri=client.tracking_uri,
            )
        )
        if (found := content_hash(path)) != version.tags["content"]:
            raise RuntimeError(f"version {version.version} came with content {found}, not {version.tags['content']}")
        path.replace(directory)
        shutil.rmtree(unfinished)
