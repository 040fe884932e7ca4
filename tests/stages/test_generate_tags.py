from __future__ import annotations

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ram.data_engine.generate import CaptionTagParams
from ram.data_engine.sparse_scores import keep_highest
from ram.data_engine.thresholds import ThresholdParams
from ram.io import tables as storage
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import LocalEngine
from ram.pipeline.runner import PROVIDED
from ram.stages import generate_tags
from ram.stages.generate_tags import Inputs, Outputs, Params, run

TOP_K, FLOOR = 6, 0.02
PARAMS = Params(
    thresholds=ThresholdParams(
        target_precision=0.1, caution=0.0, min_positives=2, prior_weight=1.0, caption_recall=0.6, min_score=0.05
    ),
    max_added=3,
    caption=None,
)


def write_scores(given: Inputs, directory: Path, sizes: tuple[int, ...], model_version: str = "m" * 12) -> Table:
    """Scores of train images in parts of these sizes, then of dev images: drawn, whatever an image shows."""
    images = given.images.to_pandas(["image_id", "split"])
    train = sorted(images["image_id"][images["split"] == "train"])
    cuts = np.cumsum((0, *sizes))
    parts = [("train", train[a:b]) for a, b in itertools.pairwise(cuts)]
    parts.append(("dev", sorted(images["image_id"][images["split"] == "dev"])))
    schema = artifact("tag_scores").schema
    assert schema is not None
    parsed = given.parsed_tags.to_pandas()
    for index, (split, ids) in enumerate(parts):
        scores_BK = np.stack([np.random.default_rng([7, int(i[-3:])]).random(8) for i in ids]).astype(np.float32)
        mine = parsed[parsed["image_id"].isin(ids)]
        own = (mine["image_id"].map(ids.index).to_numpy(np.int64), mine["tag_id"].to_numpy())
        tag_ids, scores = keep_highest(ids, scores_BK, TOP_K, FLOOR, own).to_arrow()
        columns = [pa.array(ids), pa.array([split] * len(ids)), tag_ids, scores, pa.array([model_version] * len(ids))]
        storage.write_part(pa.table(columns, names=schema.names), directory, index, schema)
    return Table(directory, schema)


def inputs(workspace: Path, scratch: Path, sizes: tuple[int, ...] = (10, 10, 4), captions: str | None = None) -> Inputs:
    scratch.mkdir(exist_ok=True)
    given = {f: read_artifact(artifact(f), workspace) for f in Inputs._fields if f not in PROVIDED}
    found = Inputs(**given, scratch=scratch, engine=LocalEngine(1))
    scores = write_scores(found, scratch / "tag_scores", sizes)
    schema = artifact("generated_captions").schema
    assert schema is not None
    (scratch / "captions").mkdir(exist_ok=True)
    for index, path in enumerate(scores.part_paths[:-1] if captions is not None else ()):
        ids = storage.pq.read_table(path, columns=["image_id"])["image_id"].to_pylist()
        rows = pd.DataFrame({"image_id": ids, "caption": captions, "log_probability": -1.0})
        storage.write_part(storage.as_arrow(rows, schema), scratch / "captions", index, schema)
    report = {"model_version": "m" * 12, "top_k": TOP_K, "floor": FLOOR, "num_images": {"train": sum(sizes), "dev": 18}}
    captions_table = Table(scratch / "captions", schema)
    return found._replace(tag_scores=scores, generated_captions=captions_table, score_report=report)


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
    assert report["num_images"] == 24


def test_every_row_has_the_stored_score_of_its_tag_on_the_image_and_the_models_version(
    drawn_workspace: Path, tmp_path: Path
) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    rows = table(run(given, PARAMS))
    for row in rows.itertuples():
        drawn = np.random.default_rng([7, int(row.image_id[-3:])]).random(8).astype(np.float16)
        assert row.image_score == drawn[row.tag_id]
    assert set(rows["model_version"]) == {"m" * 12}


def test_tags_that_a_generated_caption_names_join_where_their_score_is_high_enough(
    drawn_workspace: Path, tmp_path: Path
) -> None:
    named = dataclasses.replace(PARAMS, max_added=0, caption=CaptionTagParams(implied_parents=True, min_precision=None))
    rows = table(run(inputs(drawn_workspace, tmp_path / "all", captions="a blue ball"), named))
    of_captions = rows[rows["origin"] == "generated_caption"]
    assert set(of_captions["tag_id"]) == {0, 3, 5}  # a ball is a toy
    # each of the 24 images has all three, by its own caption or by the generated one
    assert (rows[rows["tag_id"].isin([0, 3, 5])].groupby("image_id").size() == 3).all()
    strict = dataclasses.replace(named, caption=CaptionTagParams(implied_parents=True, min_precision=0.4))
    fewer = table(run(inputs(drawn_workspace, tmp_path / "few", captions="a blue ball"), strict))
    assert (fewer["origin"] == "generated_caption").sum() < len(of_captions)


def test_captions_that_nobody_wrote_are_asked_for(drawn_workspace: Path, tmp_path: Path) -> None:
    params = dataclasses.replace(PARAMS, caption=CaptionTagParams(implied_parents=False, min_precision=0.5))
    with pytest.raises(ValueError, match=r"score_images.caption is null; set both or neither"):
        run(inputs(drawn_workspace, tmp_path / "scratch"), params)


def test_a_least_score_below_what_was_kept_is_refused(drawn_workspace: Path, tmp_path: Path) -> None:
    lower = dataclasses.replace(PARAMS.thresholds, min_score=0.01)
    with pytest.raises(ValueError, match=r"min_score is 0.01 and score_images.floor 0.02"):
        run(inputs(drawn_workspace, tmp_path / "scratch"), dataclasses.replace(PARAMS, thresholds=lower))


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


def test_new_images_leave_the_thresholds_and_the_parts_of_the_others_as_they_were(
    drawn_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    rows_of = generate_tags.Generator.rows

    def counted(self: Any, kept: Any, *others: Any) -> Any:
        made.append(len(kept.image_ids))
        return rows_of(self, kept, *others)

    monkeypatch.setattr(generate_tags.Generator, "rows", counted)
    state = tmp_path / "state"
    first = run(inputs(drawn_workspace, tmp_path / "first", (6, 6))._replace(state=state), PARAMS)
    assert made == [6, 6]
    made.clear()
    second = run(inputs(drawn_workspace, tmp_path / "second", (6, 6, 6, 6))._replace(state=state), PARAMS)
    assert made == [6, 6]
    assert second.generation_report["thresholds"].keys() == first.generation_report["thresholds"].keys()
    shutil.rmtree(state / "parts")
    anew = run(inputs(drawn_workspace, tmp_path / "third", (6, 6, 6, 6))._replace(state=state), PARAMS)
    pd.testing.assert_frame_equal(table(anew), table(second))
    made.clear()
    other = inputs(drawn_workspace, tmp_path / "fourth", (6, 6, 6, 6))._replace(state=state)
    scores = write_scores(other, tmp_path / "others", (6, 6, 6, 6), "n" * 12)
    report = other.score_report | {"model_version": "n" * 12}
    rows = table(run(other._replace(tag_scores=scores, score_report=report), PARAMS))
    assert made == [6] * 4  # scores of another model
    assert set(rows["model_version"]) == {"n" * 12}
