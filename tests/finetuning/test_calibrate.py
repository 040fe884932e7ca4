from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score
from typer.testing import CliRunner, Result

import ram
from ram.cli.main import app
from ram.io.tables import content_hash
from ram.labels import LabelSystem


def calibrate(rows: pd.DataFrame, images: Path, model: Path, out: Path, *options: str) -> Result:
    table = out.with_suffix(".table.csv")
    rows.to_csv(table, index=False)
    command = ["calibrate", str(model), str(table), "--images", str(images), "--out", str(out), *options]
    return CliRunner().invoke(app, command)


def shown(images: Path) -> pd.DataFrame:
    """What each image shows; the model's tag road is called street in the drawings."""
    rows = pd.read_csv(images / "everything.csv")
    return rows.assign(tag=rows["tag"].replace("street", "road"))


def labeled(photos: Path, *tags: str) -> pd.DataFrame:
    """Every image and tag, with its label; an oak is a tree."""
    rows = shown(photos)
    there = set(zip(rows["image"], rows["tag"], strict=True))
    images = sorted(f"drawn/{path.name}" for path in (photos / "drawn").iterdir())
    labels = [(image, tag, int((image, tag.replace("oak", "tree")) in there)) for image in images for tag in tags]
    return pd.DataFrame(labels, columns=["image", "tag", "label"])


@pytest.fixture(scope="module")
def done(images: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, str]:
    out = tmp_path_factory.mktemp("calibrated") / "mine"
    before = content_hash(model)
    rows = labeled(images, "oak", "road", "beach")
    rows.loc[len(rows)] = ["drawn/none.jpg", "road", 1]
    result = calibrate(rows, images, model, out, "--target", "f1", "--prior-positives", "0")
    assert result.exit_code == 0, result.output
    return out, result, before


def test_the_model_it_starts_from_is_not_changed_and_the_copy_is_the_same_model(done, model: Path) -> None:
    out, _, before = done
    assert content_hash(model) == before
    assert ram.load(out).version == ram.load(model).version
    assert not list(out.parent.glob(".*"))


def test_no_threshold_has_a_better_f1_than_the_one_chosen(done, images: Path) -> None:
    tagger = ram.load(done[0])
    rows = labeled(images, "tree", "road")
    for name, own in rows.groupby("tag"):
        scores = tagger.scores([images / image for image in own["image"]], [str(name)])[:, 0].astype(np.float64)
        positive = own["label"].to_numpy()
        found = f1_score(positive, scores >= tagger.thresholds.of(tagger.label_system.find(str(name))))
        assert found == pytest.approx(max(f1_score(positive, scores >= t) for t in np.unique(scores)), abs=1e-6)


def test_tags_without_a_label_keep_their_own_threshold_and_new_names_have_the_open_set_one(done) -> None:
    document = json.loads((done[0] / "thresholds.json").read_text())
    assert document["tags"]["zebra"] == 0.77
    assert document["untrained"] == ["beach"]
    assert document["tags"]["beach"] == document["open_set"]
    shipped = LabelSystem.from_json(json.loads((done[0] / "label_system.json").read_text()))
    assert {t.name: t.threshold for t in shipped} == {t.name: document["tags"][t.name] for t in shipped}


def test_every_tag_of_the_table_is_told_with_its_counts(done, images: Path) -> None:
    tags = pd.read_csv(done[0] / "calibration.csv").set_index("tag")
    rows = labeled(images, "tree", "road", "beach").groupby("tag")["label"]
    assert tags["num_positives"].to_dict() == rows.sum().to_dict()
    assert tags["num_negatives"].to_dict() == (rows.count() - rows.sum()).to_dict()
    assert tags["new"].to_dict() == {"tree": False, "road": False, "beach": True}
    assert tags["threshold_before"].to_dict() == {"tree": 0.4, "road": 0.4, "beach": 0.3}


def test_what_was_found_is_printed_and_bad_rows_are_set_aside(done) -> None:
    out, result, _ = done
    assert "tags        2 of the model, 1 new to it" in result.output
    assert "error of probabilities of tags:" in result.output
    assert "set aside   1 rows (1 missing_image)" in result.output
    assert pd.read_csv(out.with_name("mine.quarantine.csv"))["image"].tolist() == ["drawn/none.jpg"]


def test_the_quality_of_images_held_out_is_scikit_learns(images: Path, model: Path, tmp_path: Path) -> None:
    from ram.evaluation.fitting import fit_thresholds
    from ram.finetuning.calibrate import _of_images, _prepare, _scored, calibrate_model
    from ram.finetuning.params import THRESHOLDS

    table = tmp_path / "table.csv"
    labeled(images, "tree", "road").to_csv(table, index=False)
    result = calibrate_model(table, images, str(model), tmp_path / "out", THRESHOLDS)
    tagger = ram.load(model)
    scored = _scored(_prepare(table, images, tagger.label_system, tmp_path / "q.csv", False), tagger, images, 32)
    old, new, truth = [], [], []
    sides = np.arange(result.num_images) % 2 == 0
    for fitted_on in (sides, ~sides):
        own = fit_thresholds(_of_images(scored, fitted_on), [], THRESHOLDS)["tags"]
        for tag in _of_images(scored, ~fitted_on):
            new.append(tag.scores >= own[tag.name])
            old.append(tag.scores >= 0.4)
            truth.append(tag.positive)
    for name, said in (("before", old), ("after", new)):
        for what, judge in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            wanted = judge(np.concatenate(truth), np.concatenate(said), zero_division=0)
            assert result.held_out[name][what] == pytest.approx(wanted)


def test_a_precision_that_is_asked_for_is_reached(images: Path, model: Path, tmp_path: Path) -> None:
    rows = labeled(images, "tree", "road")
    options = ("--target", "precision", "--min-precision", "0.5", "--prior-positives", "0", "--calibration", "isotonic")
    assert calibrate(rows, images, model, tmp_path / "out", *options).exit_code == 0
    tagger = ram.load(tmp_path / "out")
    for name, own in rows.groupby("tag"):
        scores = tagger.scores([images / image for image in own["image"]], [str(name)])[:, 0]
        said, positive = scores >= tagger.thresholds.of(tagger.label_system.find(str(name))), own["label"] == 1
        reachable = max(positive[scores >= t].mean() for t in np.unique(scores))
        assert positive[said].mean() >= min(0.5, reachable) - 1e-9


def test_complete_tables_make_negatives_of_what_they_do_not_name(images: Path, model: Path, tmp_path: Path) -> None:
    rows = shown(images).query("tag in ['tree', 'road']")
    assert calibrate(rows, images, model, tmp_path / "out", "--complete").exit_code == 0
    tags = pd.read_csv(tmp_path / "out" / "calibration.csv").set_index("tag")
    assert (tags["num_positives"] + tags["num_negatives"]).nunique() == 1
    assert tags["num_positives"].to_dict() == rows.drop_duplicates().groupby("tag").size().to_dict()


def test_tables_that_tell_nothing_and_folders_that_are_there_are_refused(
    images: Path, model: Path, tmp_path: Path
) -> None:
    rows = labeled(images, "tree")
    for some, options, message in (
        (rows[rows["label"] == 1], (), "of those alone no precision can be told"),
        (rows[rows["label"] == 0], (), "no row of .* is a positive of a tag that the model was trained on"),
        (labeled(images, "beach"), (), "no row of .* is a positive of a tag that the model was trained on"),
        (rows, ("--batch-size", "0"), "batch-size"),
        (rows, ("--min-precision", "2"), "min_precision"),
    ):
        result = calibrate(some, images, model, tmp_path / "out", *options)
        assert isinstance(result.exception, ValueError), result.output
        assert pd.Series([str(result.exception)]).str.contains(message).all(), result.exception
        assert not (tmp_path / "out").exists()
    result = calibrate(rows, images, model, model)
    assert "is there already" in str(result.exception)
