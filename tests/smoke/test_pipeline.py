"""Every stage of the graph, in its order, on a handful of drawn images: from nothing to a tagger and its report."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tars import write_tar

import ram
from benchmarks import human_judgements
from benchmarks.model_ablation import measure
from benchmarks.workspaces import tiny
from ram.pipeline.catalog import CATALOG
from ram.stages import stage_call

ROOT = Path(__file__).resolve().parents[2]
ORDER = [
    "list_sources", "ingest_pairs", "check_tables@pairs", "parse_captions", "build_label_system", "tag_captions",
    "check_tables@parsed_tags", "embed_tags", "embed_captions", "embed_images", "pretrain", "choose_generator", "score_images",
    "generate_tags", "check_tables@generated_tags", "embed_regions", "judge_captions", "clean_tags",
    "check_tables@cleaned_tags", "compare_tags", "review_gallery", "retrain@cleaned", "retrain@generated", "finetune",
    "calibrate_thresholds", "evaluate", "report",
]  # fmt: skip
GIVEN = ("vocabularies", "reviews")  # in git


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    for given in GIVEN:
        shutil.copytree(ROOT / "data" / given, folder / "data" / given)
    params = tiny(yaml.safe_load((ROOT / "recipes" / "sample.yaml").read_text()))
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    code = "import sys; from ram.stages import run_stage; [run_stage(name) for name in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-c", code, *ORDER],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.slow
def test_every_stage_puts_its_artifacts_where_the_catalog_says(workspace: Path) -> None:
    for name in ORDER:
        for entry in stage_call(name).outputs().values():
            assert (workspace / entry.path).exists(), entry.name
    made = {entry.path for name in ORDER for entry in stage_call(name).outputs().values()}
    assert made == {entry.path for entry in CATALOG.values() if entry.name not in GIVEN}


@pytest.mark.slow
def test_every_model_is_evaluated_and_every_table_checked(workspace: Path) -> None:
    evaluation = json.loads((workspace / "reports" / "evaluate.json").read_text())
    assert set(evaluation) == {"preliminary", "retrained", "retrained_uncleaned", "finetuned"}
    for benchmarks in evaluation.values():
        assert 0 < benchmarks["sample_world"]["mAP"] <= 1
        assert benchmarks["sample_world"]["num_tags"] > 50
    for check in (workspace / "reports" / "checks").glob("*.json"):
        assert json.loads(check.read_text())["passed"], check.name


@pytest.mark.slow
def test_the_finetuned_model_tags_an_image_with_its_own_tags_and_with_new_ones(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (90, 70), (200, 30, 30)).save(path)
    tagger = ram.load(str(workspace / "data" / "models" / "finetuned"))
    (own,) = tagger([path], threshold=0.0, top_k=5)
    assert len(own) == 5
    assert [tag.score for tag in own] == sorted((tag.score for tag in own), reverse=True)
    (named,) = tagger([path], tags=["red", "a spaceship made of cheese"], threshold=0.0)
    assert {tag.name for tag in named} == {"red", "a spaceship made of cheese"}


@pytest.mark.slow
def test_the_ablation_of_the_model_measures_what_the_evaluation_does(workspace: Path) -> None:
    expected = json.loads((workspace / "reports" / "evaluate.json").read_text())["preliminary"]["sample_world"]
    params = yaml.safe_load((workspace / "params.yaml").read_text())["evaluate"]
    found = measure(workspace, workspace / "data" / "models" / "preliminary", params)["sample_world"]
    assert found["num_images"] == expected["num_images"]
    for group, metric in (("trained", "mAP_seen"), ("unseen", "mAP_unseen")):
        assert found[group]["mAP"] == pytest.approx(expected[metric], rel=1e-6)


@pytest.mark.slow
def test_captions_that_people_judged_are_judged_by_the_engine_and_the_last_line_is_json(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    colors = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}
    generator, rows, members = np.random.default_rng(0), [], {}
    for name, color in colors.items():
        image = io.BytesIO()
        noise = generator.integers(-20, 20, (80, 80, 3))
        Image.fromarray(np.uint8(np.clip(np.array(color) + noise, 0, 255))).save(image, "PNG")
        members[f"{name}.png"] = image.getvalue()
        for said in colors:
            votes = {"yes": 3 * (said == name), "no": 3 * (said != name)}
            rows.append({"image": name, "caption": f"a {said} car on a street", **votes})
    write_tar(tmp_path / "images.tar", members)
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    argv = ["human_judgements", "--images", str(tmp_path / "images.tar"), "--pairs", str(tmp_path / "pairs.jsonl")]
    argv += ["--recipe", str(workspace / "params.yaml"), "--workspace", str(workspace)]
    monkeypatch.setattr(sys, "argv", argv)
    found = []
    for _ in range(2):  # the second time nothing is made anew
        human_judgements.main()
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert found[0] == found[1]
    assert (found[0]["num_images"], found[0]["num_captions"], found[0]["num_accepted"]) == (3, 9, 3)
    assert 0 <= found[0]["caption_auc"] <= 1
    assert 0 <= found[0]["tag_auc"] <= 1
