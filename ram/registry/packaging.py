"""A checkpoint as a model that MLflow can load and serve: its code beside its weights, tried before it counts."""

from __future__ import annotations

import base64
import io
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ram.io.tables import read_json, write_json
from ram.pipeline.catalog import Artifact
from ram.tracking.server import CHECKPOINT, MODEL_NAME, WORKSPACE_TAG, import_mlflow

if TYPE_CHECKING:
    from ram.tracking.server import MlflowClient

# what tagging imports; the packaged model brings its own copy of ram
_REQUIREMENTS = (
    "mlflow",
    "torch",
    "timm",
    "transformers",
    "safetensors",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "pyyaml",
)


@contextmanager
def stage_checkpoint(workspace: Path, model: Artifact, thresholds: Artifact) -> Iterator[Path]:
    """A temporary folder with the files of `model`, its thresholds, and these in its label system as well.

    `ValueError` where one is missing.
    """
    from ram.inference.tagger import THRESHOLDS_FILE
    from ram.model.checkpoint import LABELS, complete_label_system

    for entry in (model, thresholds):
        if not (workspace / entry.path).exists():
            raise ValueError(f"no {entry.name} at {workspace / entry.path}; run the stage that makes it")
    with tempfile.TemporaryDirectory(prefix="ram-register-") as directory:
        checkpoint = Path(directory, CHECKPOINT)
        shutil.copytree(workspace / model.path, checkpoint)
        shutil.copyfile(workspace / thresholds.path, checkpoint / THRESHOLDS_FILE)
        labels = complete_label_system(checkpoint, read_json(checkpoint / THRESHOLDS_FILE))
        write_json(labels.to_json(), checkpoint / LABELS)
        yield checkpoint


def package(
    client: MlflowClient, experiment_id: str, run_id: str, checkpoint: Path, tags: Mapping[str, str]
) -> tuple[str, str]:
    """Upload `checkpoint` as a logged model of the run; where it lies and its id. One that does not load is refused.

    `tags` name its `content`, by which one that was uploaded before is found again, and its workspace, whose uploads that a
    kill left unfinished are marked as failed.
    """
    mlflow = import_mlflow()
    with suppress(mlflow.exceptions.MlflowException):  # it exists, which is all that is wanted
        client.create_registered_model(MODEL_NAME)
    _fail_unfinished(client, experiment_id, tags[WORKSPACE_TAG])
    for known in client.search_logged_models([experiment_id], f"tags.content = '{tags['content']}'"):
        if known.status == "READY":
            return known.artifact_location, known.model_id
    logged = client.create_logged_model(experiment_id, name=MODEL_NAME, source_run_id=run_id, tags=dict(tags))
    try:
        with tempfile.TemporaryDirectory(prefix="ram-package-") as directory:
            path = Path(directory, "model")
            save(checkpoint, path, mlflow.models.Model(logged.artifact_location, run_id, model_id=logged.model_id))
            try_out(path)
            client.log_model_artifacts(logged.model_id, str(path))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    return logged.artifact_location, logged.model_id


def _fail_unfinished(client: MlflowClient, experiment_id: str, workspace: str) -> None:
    for model in client.search_logged_models([experiment_id], f"tags.{WORKSPACE_TAG} = '{workspace}'"):
        if model.status == "PENDING":
            client.finalize_logged_model(model.model_id, "FAILED")


def save(checkpoint: Path, path: Path, description: Any = None) -> None:
    """Write the model folder of MLflow for `checkpoint`."""
    mlflow = import_mlflow()
    package_dir = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory(prefix="ram-code-") as directory, _no_advice():
        code = Path(directory, package_dir.name)
        shutil.copytree(package_dir, code, ignore=shutil.ignore_patterns("__pycache__"))
        mlflow.pyfunc.save_model(
            path=str(path),
            python_model=str(package_dir / "serving" / "pyfunc.py"),
            code_paths=[str(code)],
            artifacts={CHECKPOINT: str(checkpoint)},
            signature=_signature(),
            input_example=_example(),
            pip_requirements=[f"{name}=={installed_version(name).partition('+')[0]}" for name in _REQUIREMENTS],
            model_config={"allow_paths": False},
            mlflow_model=description,
        )


def try_out(path: Path) -> None:
    """Load the model folder and tag its own example; raises where that fails."""
    mlflow = import_mlflow()
    search_path = sys.path
    try:
        with _no_advice():
            answer = mlflow.pyfunc.load_model(str(path)).predict(_example())[0]
    finally:
        sys.path = search_path  # MLflow puts the folder's copy of ram before ours
    if answer["error"]:
        raise RuntimeError(f"the packaged model does not tag its own example: {answer['error']}")


@contextmanager
def _no_advice() -> Iterator[None]:
    """MLflow asks for type hints of its own kind, to infer the signature from; the signature is given."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for entry in caught:
        if "Add type hints" not in str(entry.message):
            warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)


def _signature() -> Any:
    mlflow = import_mlflow()
    types = mlflow.types
    text, number, array = types.DataType.string, types.DataType.double, types.schema.Array
    columns = [
        types.ColSpec(array(text), "tags"),
        types.ColSpec(array(number), "scores"),
        types.ColSpec(text, "error", required=False),
    ]
    params = [
        types.ParamSpec("threshold", number, None),  # none: each tag has its own
        types.ParamSpec("top_k", types.DataType.long, 0),  # 0: all above their thresholds
        types.ParamSpec("tags", text, [], (-1,)),  # empty: the model's own
    ]
    return mlflow.models.ModelSignature(
        inputs=types.Schema([types.ColSpec(text, "image")]),
        outputs=types.Schema(columns),
        params=types.ParamSchema(params),
    )


def _example() -> Any:
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "steelblue").save(buffer, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})
