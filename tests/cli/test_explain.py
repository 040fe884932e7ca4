from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ram.cli.explain import life_of
from ram.cli.main import app
from ram.io.tables import Table, write_table
from ram.pipeline.catalog import artifact
from ram.reports.lineage.lineage import Life

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workspace(drawn_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("explain") / "workspace"
    shutil.copytree(drawn_workspace, root)
    shutil.copyfile(ROOT / "recipes" / "sample.yaml", root / "params.yaml")
    return root


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workspace)
    return workspace


def told(workspace: Path, image: str, tag: str) -> Life:
    return life_of(image, tag, workspace, workspace / "params.yaml")


def test_a_row_of_a_caption_names_the_caption_and_its_phrase(workspace: Path) -> None:
    life = told(workspace, "drawn/000", "ball")
    assert life.captions[0]["caption"].endswith("ball on paper")
    assert life.captions[0]["naming"] == [{"phrase": "ball", "how": "named"}]
    assert life.parsed is not None
    assert life.parsed["origin"] == "caption"
    assert life.generated_caption is not None
    assert life.generated_caption["naming"] == [{"phrase": "ball", "how": "named"}]
    assert not life.why_not


def test_a_removed_row_has_its_scores_reason_region_and_targets(workspace: Path) -> None:
    life = told(workspace, "001.jpg", "roll")  # by the name of its member
    assert life.cleaned is not None
    assert life.generated is not None
    assert (life.cleaned["kept"], life.cleaned["reason"]) == (False, "contrary_prediction")
    assert life.generated["model_version"] == "0" * 12
    assert life.threshold is not None
    assert life.threshold["threshold"] == 0.6
    assert life.box is not None
    assert life.parsed is None
    # wrong_probability is 0.5 in these tables, and the recipe trains on it.
    assert {step["model"]: step["target"] for step in life.training} == {
        "preliminary": 0.0, "retrained_uncleaned": pytest.approx(0.7), "retrained": 0.5, "finetuned": 0.5,
    }  # fmt: skip


def test_a_verdict_of_a_person_is_told(workspace: Path) -> None:
    assert told(workspace, "001", "toys").verdict == {"verdict": "keep", "where": "verdicts.csv:2"}


def test_a_row_that_does_not_exist_says_at_which_steps_it_could_have_come(workspace: Path) -> None:
    life = told(workspace, "drawn/000", "roll")
    reasons = {why["step"]: why["reason"] for why in life.why_not}
    assert "named by none of its 1 captions, whose phrases are" in reasons["captions"]
    assert reasons["generated caption"] == "'a ball' does not name it"
    assert "`keep`" in reasons["a person"]
    assert "0.600 (by labels)" in reasons["prediction"]
    assert "its score was not kept, being below 0.02 or not among the 7 highest" in reasons["prediction"]


def test_a_tag_whose_score_was_kept_tells_it(workspace: Path, tmp_path: Path) -> None:
    root = tmp_path / "without"
    shutil.copytree(workspace, root)
    for name in ("generated_tags", "cleaned_tags"):  # as if roll had never been added to drawn/001
        entry = artifact(name)
        assert entry.schema is not None
        rows = Table(root / entry.path, entry.schema).to_pandas()
        write_table(rows[rows["tag_id"] != 7], root / entry.path, entry.schema)
    reasons = {why["step"]: why["reason"] for why in told(root, "drawn/001", "roll").why_not}
    assert reasons["prediction"].startswith("the generator's score is 0.300, below its threshold 0.600")


def test_a_tag_without_a_threshold_can_never_be_predicted(workspace: Path) -> None:
    reasons = {why["step"]: why["reason"] for why in told(workspace, "drawn/000", "tree").why_not}
    assert "the tag has no threshold" in reasons["prediction"]


def test_images_of_other_splits_have_no_rows_because_of_their_split(workspace: Path) -> None:
    life = told(workspace, "drawn/065", "roll")
    assert life.why_not[-1]["reason"] == "the image is of split test; the data engine works on train alone"
    assert not life.training


@pytest.mark.parametrize(
    ("image", "tag", "message"),
    [
        ("drawn/000", "ballo", "no tag 'ballo' among the 8; the nearest are ball"),
        ("drawn/0000", "ball", "no image 'drawn/0000' in the table images; the nearest are drawn/000"),
        ("drawn/000", "99", "no tag '99'"),
    ],
)
def test_what_is_not_there_names_the_nearest(workspace: Path, image: str, tag: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        told(workspace, image, tag)


def test_a_name_of_several_images_is_refused_with_some_of_them(workspace: Path) -> None:
    from ram.reports.lineage.find import find_image

    schema = artifact("images").schema
    assert schema is not None
    rows = Table(workspace / artifact("images").path, schema).to_pandas().head(2)
    rows["image_id"] = ["a/x.jpg", "b/x.jpg"]
    write_table(rows, workspace / "twice", schema)
    with pytest.raises(ValueError, match=r"2 images are called 'x': a/x.jpg, b/x.jpg; give the image_id"):
        find_image(Table(workspace / "twice", schema), "x")


def test_the_command_writes_the_image_with_the_box_and_prints_json(here: Path, tmp_path: Path) -> None:
    out = tmp_path / "row.png"
    plain = CliRunner().invoke(app, ["explain", "drawn/001", "roll", "--out", str(out)])
    assert plain.exit_code == 0, plain.output
    assert "removed: not seen on its region" in plain.output
    image = np.asarray(Image.open(out).convert("RGB"))
    life = told(here, "drawn/001", "roll")
    assert life.box is not None
    x, y = (round((life.box[i] + life.box[i + 2]) / 2 * 640) for i in (0, 1))
    edge = round(life.box[1] * 640) + 1
    assert image.shape[1] == 640
    assert image.shape[0] > 640  # captions stand under it
    assert image[edge, x].tolist() == [0xF4, 0x3F, 0x5E]
    assert image[y, x].tolist() != [0xF4, 0x3F, 0x5E]
    as_json = CliRunner().invoke(app, ["explain", "drawn/001", "roll", "--json"])
    assert json.loads(as_json.stdout) == json.loads(json.dumps(life.to_json()))


def test_the_row_is_told_as_far_as_the_pipeline_has_run(workspace: Path, tmp_path: Path) -> None:
    root = tmp_path / "early"
    shutil.copytree(workspace, root)
    for name in ("cleaned_tags", "generated_captions", "parsed_tags", "models"):
        shutil.rmtree(root / "data" / name)
    life = told(root, "drawn/001", "roll")
    assert life.cleaned is None
    assert life.box is not None
    assert [step["model"] for step in life.training] == ["preliminary", "retrained_uncleaned"]
