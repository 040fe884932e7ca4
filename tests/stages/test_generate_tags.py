from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ram import storage
from ram.catalog import artifact
from ram.data_engine.generate import CaptionParams
from ram.data_engine.thresholds import ThresholdParams
from ram.engine import LocalEngine
from ram.inference.features import FeatureStore
from ram.inference.images import ImageStore
from ram.inference.scorer import Scorer
from ram.label_system import LabelSystem
from ram.model.checkpoint import load_checkpoint
from ram.runner import PROVIDED, read_artifact
from ram.stages.generate_tags import Inputs, Outputs, Params, chunks_of_sources, run
from ram.storage import Table

PARAMS = Params(
    seed=0,
    thresholds=ThresholdParams(
        target_precision=0.1, caution=0.0, min_positives=2, prior_weight=1.0, caption_recall=0.6, min_score=0.01
    ),
    max_added=3,
    caption=None,
    num_calibration_images=10,
    batch_size=4,
    images_per_part=10,
)


def inputs(workspace: Path, scratch: Path) -> Inputs:
    scratch.mkdir(exist_ok=True)
    given = {f: read_artifact(artifact(f), workspace) for f in Inputs._fields if f not in PROVIDED}
    return Inputs(**given, scratch=scratch, engine=LocalEngine(1))


def table(outputs: Outputs) -> pd.DataFrame:
    return Table(outputs.generated_tags, artifact("generated_tags").schema).to_pandas()  # type: ignore[arg-type]


def test_all_parsed_tags_of_split_train_come_back_and_others_join_them(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    outputs = run(given, PARAMS)
    rows = table(outputs)
    assert not rows.duplicated(["image_id", "tag_id"]).any()
    images = given.images.to_pandas(["image_id", "split"])
    parsed = given.parsed_tags.to_pandas()
    parsed = parsed[parsed["image_id"].isin(images["image_id"][images["split"] == "train"])]
    said = rows[rows["origin"] == "caption"]
    assert set(zip(said["image_id"], said["tag_id"], strict=True)) == set(
        zip(parsed["image_id"], parsed["tag_id"], strict=True)
    )
    predicted = rows[rows["origin"] == "predicted"]
    assert len(predicted)
    assert predicted.groupby("image_id").size().max() <= 3
    report = outputs.generation_report
    thresholds = {name: facts["threshold"] for name, facts in report["thresholds"].items()}
    names = LabelSystem.from_json(given.label_system).names
    assert all(r.score >= thresholds[names[r.tag_id]] for r in predicted.itertuples())
    assert "box" not in thresholds  # held back by the benchmark
    assert report["num_tags_by_origin"] == rows["origin"].value_counts().to_dict()


def test_every_row_has_the_models_score_of_its_tag_on_the_picture(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    rows = table(run(given, PARAMS))
    checkpoint = load_checkpoint(given.preliminary_model)
    scorer = Scorer(checkpoint, ImageStore(given.images, given.image_shards), FeatureStore(given.image_features))
    expected = {i: s for ids, scores in scorer.scores(rows["image_id"].unique().tolist()) for i, s in zip(ids, scores, strict=True)}  # fmt: skip  # noqa: E501
    for row in rows.itertuples():
        assert row.image_score == pytest.approx(expected[row.image_id][row.tag_id], abs=1e-5)
    assert set(rows["model_version"]) == {checkpoint.version}


def test_a_killed_run_goes_on_with_the_parts_that_are_missing(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    outputs = run(given, PARAMS)
    whole = table(outputs)
    parts = sorted(outputs.generated_tags.glob("part-*"))
    assert len(parts) == 3
    parts[1].unlink()
    before = parts[0].stat().st_mtime_ns
    again = run(given, PARAMS)
    pd.testing.assert_frame_equal(table(again), whole)
    assert storage.part_path(again.generated_tags, 0).stat().st_mtime_ns == before


def test_a_model_without_a_caption_branch_writes_no_captions_and_says_so(drawn_workspace: Path, tmp_path: Path) -> None:
    caption = CaptionParams(num_beams=1, min_tokens=0, length_penalty=1.0, implied_parents=False, min_precision=0.5)
    with pytest.raises(ValueError, match="no caption branch"):
        run(inputs(drawn_workspace, tmp_path / "scratch"), dataclasses.replace(PARAMS, caption=caption))


def test_a_model_of_another_label_system_is_refused(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    other = LabelSystem.from_json(given.label_system).extended(["zebra"]).to_json()
    with pytest.raises(ValueError, match="run pretrain again"):
        run(given._replace(label_system=other), PARAMS)


def _pictures_looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the pictures whose tokens the model is asked for, from now on."""
    seen: list[str] = []
    tokens = Scorer.tokens

    def counted(self: Scorer, image_ids: Sequence[str], *others: Any, **named: Any) -> Any:
        seen.extend(image_ids)
        return tokens(self, image_ids, *others, **named)

    monkeypatch.setattr(Scorer, "tokens", counted)
    return seen


def test_the_next_run_looks_only_at_new_pictures_and_gives_what_a_run_over_all_gives(
    drawn_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = dataclasses.replace(PARAMS, images_per_part=6)
    whole = inputs(drawn_workspace, tmp_path / "whole")
    rows = whole.images.to_pandas()
    train = sorted(rows["image_id"][rows["split"] == "train"])
    storage.write_table(rows[~rows["image_id"].isin(train[12:])], tmp_path / "images", whole.images.schema)
    before = whole._replace(images=Table(tmp_path / "images", whole.images.schema), state=tmp_path / "state")
    looked_at = _pictures_looked_at(monkeypatch)
    run(before._replace(scratch=tmp_path / "first"), params)
    assert set(train[:12]) <= set(looked_at)

    looked_at.clear()
    more = whole._replace(state=tmp_path / "state", scratch=tmp_path / "second")
    found = table(run(more, params))
    assert sorted(looked_at) == train[12:]
    looked_at.clear()
    again = table(run(more._replace(scratch=tmp_path / "third"), params))
    assert looked_at == []
    pd.testing.assert_frame_equal(again, found)
    # the thresholds are those of the first run: with these, a run over all pictures finds the same
    shutil.rmtree(tmp_path / "state" / "parts")
    anew = table(run(more._replace(scratch=tmp_path / "fourth"), params))
    pd.testing.assert_frame_equal(anew, found)


def test_parts_begin_anew_at_every_source() -> None:
    ids = ["a/1", "a/2", "a/3", "b/1", "c/1", "c/2"]
    assert list(chunks_of_sources(ids, 2)) == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert list(chunks_of_sources([], 2)) == []
