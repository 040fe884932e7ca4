from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from ram.cli.main import app
from ram.inference import tagger
from ram.io.tables import read_json, write_json
from ram.registry import packaging, publish, versions
from ram.registry.compare_models import shadow
from ram.tracking.server import model_dir

Make = Callable[..., Path]
Score = namedtuple("Score", "tag_id name score threshold kind")


@pytest.fixture
def two_versions(finished_workspace: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A champion of weights `cat dog` and a challenger of weights `cat cup`, each of which finds just that.

    On a black image both find nothing; in an image called odd the challenger finds only a cup.
    """

    def load(directory: str) -> Callable[[list], list[list[Score]]]:
        words = Path(directory, "model.safetensors").read_bytes().decode().split()

        def found(images: list) -> list[list[Score]]:
            image = images[0]
            if isinstance(image, str):
                with Image.open(image) as opened:
                    dark = not np.asarray(opened).any()
                mine = [] if dark else words[1:] if "odd" in image and "cup" in words else words
            else:
                mine = words
            return [[Score(0, word, 0.9, 0.5, "object") for word in mine]]

        return found

    def save(checkpoint: Path, path: Path, description: object) -> None:
        shutil.copytree(checkpoint, path / "artifacts" / packaging.CHECKPOINT)

    monkeypatch.setattr(tagger, "load", load)
    monkeypatch.setattr(packaging, "save", save)
    monkeypatch.setattr(packaging, "try_out", lambda path: None)
    publish.register(finished_workspace(0.5, b"cat dog"))
    publish.promote(finished_workspace(0.5, b"cat dog"))
    workspace = finished_workspace(0.6, b"cat cup")
    thresholds = {"default": 0.4, "tags": {"dog": 0.75}}
    write_json(thresholds, workspace / "data" / "thresholds.json")
    publish.register(workspace)
    return workspace


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, color in {"a.png": "white", "black.png": "black", "odd.png": "white"}.items():
        Image.new("RGB", (8, 8), color).save(folder / name)
    (folder / "broken.jpg").write_text("no image")
    return folder


def test_a_diff_names_what_changed_and_nothing_else(two_versions: Path) -> None:
    change = versions.diff("champion", "challenger", two_versions)
    assert change["versions"] == ["1", "2"]
    assert change["metrics"] == {"drawn/mAP": [0.5, 0.6], "drawn/F1": [0.25, 0.3]}
    assert change["thresholds"] == {"default": [0.5, 0.4]}
    assert change["label_system"]["threshold"] == {"cat": (0.5, 0.4), "dog": (0.25, 0.75)}
    assert change["label_system"]["added"] == []
    assert change["comparable"] == {"drawn": True}
    assert set(change["origin"]) == {"dvc_lock", "content"}
    same = versions.diff("1", "1", two_versions)
    assert not any(same[part] for part in ("origin", "metrics", "measured", "thresholds"))


def test_a_shadow_run_tells_how_much_people_would_see_change(two_versions: Path, images: Path) -> None:
    found = shadow(images, two_versions)
    # cat of {cat, dog, cup}; nothing of nothing, which is the same; nothing of {cat, dog, cup}
    assert found["agreement"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert (found["num_images"], found["num_same"]) == (3, 1)
    assert found["gained"] == {"cup": 2}
    assert found["lost"] == {"dog": 2, "cat": 1}
    assert [row["image"] for row in found["least_alike"]] == ["odd.png", "a.png", "black.png"]
    assert found["tags_per_image"] == {"challenger": 1.0, "champion": pytest.approx(4 / 3)}
    assert len(found["refused"]) == 1
    assert read_json(two_versions / ".state" / "shadow" / "v2-v1.json") == found


def test_a_promotion_may_ask_for_a_shadow_run(two_versions: Path, images: Path) -> None:
    params = yaml.safe_load((two_versions / "params.yaml").read_text())
    params["promotion"]["min_shadow_agreement"] = 0.4
    (two_versions / "params.yaml").write_text(yaml.safe_dump(params))
    assert publish.promote(two_versions)["failures"][0].startswith("shadow agreement: no shadow run against champion")
    shadow(images, two_versions)
    assert publish.promote(two_versions)["outcome"] == "promoted"


def test_a_shadow_run_of_a_model_against_itself_and_of_no_image_is_refused(two_versions: Path, images: Path) -> None:
    with pytest.raises(ValueError, match="are the same version 1"):
        shadow(images, two_versions, "1", "champion")
    for path in images.glob("*.png"):
        path.unlink()
    with pytest.raises(ValueError, match="none of the 1 images"):
        shadow(images, two_versions)


def test_people_get_tables_and_programs_json(two_versions: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two_versions)

    def said(*command: str) -> str:
        done = CliRunner().invoke(app, ["models", *command])
        assert done.exit_code == 0, done.output
        return done.stdout

    head, first, second = said("list").splitlines()
    assert head.split()[:3] == ["version", "aliases", "drawn/mAP"]
    assert first.split()[:3] == ["2", "challenger", "0.6000"]
    assert second.split()[:4] == ["1", "champion", "0.5000", "first"]
    assert [row["version"] for row in json.loads(said("list", "--json"))] == ["2", "1"]
    assert "drawn/mAP  0.5000  0.6000  +0.1000" in said("diff", "1", "2")
    assert json.loads(said("diff", "1", "2", "--json"))["thresholds"] == {"default": [0.5, 0.4]}
    assert "agreement 0.444, 1 with the same tags" in said("shadow", str(images))
    assert "version 2 is the champion now, in place of version 1" in said("promote")
    assert json.loads(said("rollback", "--json"))["champion"] == "1"
    assert "no  " in said("promote")


def test_the_champion_is_scored_anew_only_where_the_challenger_saw_other_images(
    finished_workspace: Make, two_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []
    monkeypatch.setattr(versions, "evaluate_version", lambda name, workspace: scored.append(name))
    assert versions.make_comparable(two_versions) is None
    workspace = finished_workspace(0.6, b"cat bird", test_images=4)
    publish.register(workspace)
    assert versions.make_comparable(workspace) == "1"
    assert scored == ["champion"]


def test_a_version_scored_anew_has_the_metrics_that_the_stage_evaluate_gives(
    drawn_workspace: Path, tmp_path: Path, empty_mlflow_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ram.stages import run_stage

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace = tmp_path / "workspace"
    shutil.copytree(drawn_workspace, workspace)
    (workspace / ".state").mkdir(exist_ok=True)
    shutil.copyfile(empty_mlflow_db, workspace / ".state" / "mlflow.db")
    (workspace / "dvc.lock").write_text("stages: {}\n")
    params = {
        "seed": 0,
        "calibrate_thresholds": {
            "target": "f1", "min_precision": 0.5, "prior_positives": 5.0, "min_kind_positives": 1,
            "min_open_set_positives": 50, "open_set_factor": 0.8, "calibration": "platt",
        },
        "evaluate": {"use_children": "unseen", "num_bootstrap": 5},
        "promotion": {"benchmark": "drawn", "min_value": 0.0},
    }  # fmt: skip
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    for stage in ("calibrate_thresholds", "evaluate"):
        run_stage(stage, workspace / "params.yaml", workspace)

    def save(checkpoint: Path, path: Path, description: object) -> None:
        shutil.copytree(checkpoint, path / "artifacts" / packaging.CHECKPOINT)

    monkeypatch.setattr(packaging, "save", save)
    monkeypatch.setattr(packaging, "try_out", lambda path: None)
    publish.register(workspace)
    [before] = publish.list_models(workspace)
    assert 0 <= before["calibration_error"]["drawn"] <= 1
    client, _ = publish.connect(workspace)
    for name in ("metrics", "evidence", "calibration_error"):
        client.delete_model_version_tag(publish.MODEL_NAME, "1", name)
    assert versions.evaluate_version("1", workspace) == before["metrics"]
    [after] = publish.list_models(workspace)
    for name in ("metrics", "evidence", "calibration_error", "evaluation_sets"):
        assert after.get(name) == before.get(name)
    assert (model_dir("1", workspace) / "thresholds.json").is_file()
