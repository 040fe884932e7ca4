"""Everything that MLflow is given of a drawn run, on a sqlite data base of the workspace's own."""

from __future__ import annotations

import io
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ram.io.tables import read_json, write_json, write_text
from ram.pipeline.catalog import artifact
from ram.pipeline.resources import CPU, MEMORY, resources_path
from ram.registry.log import stage_resources, track
from ram.reports import data as quality_report
from ram.stages import run_stage
from ram.tracking.server import connect

PARAMS = {
    "seed": 0,
    "list_sources": {"sources": [{"name": "drawn", "kind": "table"}]},
    "model": {"image_encoder": "resnet10t"},
    "calibrate_thresholds": {
        "target": "f1", "min_precision": 0.5, "prior_positives": 5.0, "min_kind_positives": 1,
        "min_open_set_positives": 50, "open_set_factor": 0.8, "calibration": "platt",
    },
    "evaluate": {"use_children": "unseen", "num_bootstrap": 0},
    "compare_tags": {"max_inflation": 10.0, "num_paired_tags": 10, "min_pair_images": 1, "num_shown": 5},
}  # fmt: skip
STAGES = ("compare_tags", "calibrate_thresholds", "evaluate")


@pytest.fixture(scope="module")
def workspace(drawn_workspace: Path, empty_mlflow_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("log") / "workspace"
    shutil.copytree(drawn_workspace, root)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    for stage in STAGES:
        run_stage(stage, root / "params.yaml", root)
    # The model was drawn, not trained: what its stage would have left behind of its resources.
    samples = [{"seconds": float(i), CPU: 50.0 * i, MEMORY: 100.0 + i} for i in range(4)]
    document = {**read_json(resources_path(root, "evaluate")), "outputs": {}, "samples": samples}
    write_json(document, resources_path(root, "finetune"))
    parsed = {"path": "data/parsed_tags", "md5": "0123456789abcdef0123456789abcdef.dir"}
    stages = {stage: {"cmd": "true", "deps": [parsed]} for stage in (*STAGES, "finetune")}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    write_text("<html>quality</html>", root / quality_report.PAGE)
    (root / ".state").mkdir(exist_ok=True)
    shutil.copyfile(empty_mlflow_db, root / ".state" / "mlflow.db")
    return root


@pytest.fixture(scope="module")
def run_id(workspace: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return track(workspace)


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def artifacts(workspace: Path, run_id: str, folder: str | None = None) -> set[str]:
    client, _ = connect(workspace)
    return {file.path for file in client.list_artifacts(run_id, folder)}


def download(workspace: Path, run_id: str, path: str, target: Path) -> Path:
    client, _ = connect(workspace)
    return Path(client.download_artifacts(run_id, path, str(target)))


def test_the_run_has_figures_that_are_images(workspace: Path, run_id: str, tmp_path: Path) -> None:
    from PIL import Image

    names = {"tags_by_frequency.png", "average_precision.png", "confusion_drawn.png"}
    assert artifacts(workspace, run_id, "figures") == {f"figures/{name}" for name in names}
    for name in names:
        with Image.open(download(workspace, run_id, f"figures/{name}", tmp_path)) as image:
            assert min(image.size) > 300


def test_the_run_has_the_label_system_the_thresholds_and_the_page_of_the_data(workspace: Path, run_id: str) -> None:
    assert {"label_system.json", "thresholds.json", "evaluate.json"} <= artifacts(workspace, run_id)
    assert artifacts(workspace, run_id, "quality") == {"quality/index.html"}
    assert "reports/label_system.json" in artifacts(workspace, run_id, "reports")


def test_confusions_are_of_names_of_the_benchmark(workspace: Path, run_id: str, tmp_path: Path) -> None:
    pairs = pd.read_csv(io.StringIO(download(workspace, run_id, "confusion/drawn.csv", tmp_path).read_text()))
    names = set(read_json(workspace / artifact("benchmarks").path)["drawn"]["names"])
    assert len(pairs) > 0
    assert set(pairs["missed"]) | set(pairs["said"]) <= names
    assert (pairs["num_images"] <= pairs["num_positives"]).all()
    assert (pairs["num_images"] > pairs["num_expected"]).all()


def test_a_models_run_has_system_metrics_and_curves(workspace: Path, run_id: str) -> None:
    client, experiment = connect(workspace)
    (child,) = client.search_runs([experiment], "attributes.run_name = 'finetuned'")
    history = client.get_metric_history(child.info.run_id, f"system/{CPU}")
    assert [(m.step, m.value) for m in history] == [(i, 50.0 * i) for i in range(4)]
    assert [b.timestamp - a.timestamp for a, b in pairwise(history)] == [1000] * 3
    assert artifacts(workspace, child.info.run_id, "figures") == {"figures/curves.png"}
    totals = client.get_run(run_id).data.metrics
    assert totals["resources/finetune/cpu_s"] == pytest.approx(0.5 + 1.0 + 1.5)
    assert totals["resources/finetune/peak_memory_megabytes"] == 103
    assert totals["resources/evaluate/seconds"] > 0


def test_runs_are_found_by_their_tags_and_checks(workspace: Path, run_id: str) -> None:
    client, experiment = connect(workspace)
    for query in (
        "tags.sources LIKE '%drawn%'",
        "tags.image_encoder = 'resnet10t'",
        "tags.checks = 'failed: parsed_tags'",
        "tags.num_tags = '8' and tags.kind = 'pipeline'",
    ):
        assert [run.info.run_id for run in client.search_runs([experiment], query)] == [run_id], query
    assert "checks: failed" in client.get_run(run_id).data.tags["mlflow.note.content"]


def test_the_data_read_have_their_digest_schema_and_size(workspace: Path, run_id: str) -> None:
    client, _ = connect(workspace)
    (read,) = client.get_run(run_id).inputs.dataset_inputs
    assert (read.dataset.name, read.dataset.digest) == ("parsed_tags", "0123456789abcdef0123456789abcdef")
    columns = {column["name"]: column["type"] for column in json.loads(read.dataset.schema)["mlflow_colspec"]}
    assert columns["tag_id"] == "integer"
    assert columns["score"] == "float"
    assert list(columns) == artifact("parsed_tags").schema.names
    assert json.loads(read.dataset.profile)["num_rows"] == 49


def test_tracking_again_writes_nothing(workspace: Path, run_id: str) -> None:
    client, experiment = connect(workspace)
    before = {run.info.run_id for run in client.search_runs([experiment])}
    assert track(workspace) == run_id
    assert {run.info.run_id for run in client.search_runs([experiment])} == before


def test_resources_of_a_stage_whose_outputs_came_from_another_run_are_not_taken(
    workspace: Path, tmp_path: Path
) -> None:
    other = tmp_path / "workspace"
    shutil.copytree(workspace, other)
    assert {stage for stage, _ in stage_resources(other)} == {*STAGES, "finetune"}
    write_json({}, other / artifact("evaluation").path)
    assert {stage for stage, _ in stage_resources(other)} == {"compare_tags", "calibrate_thresholds", "finetune"}
