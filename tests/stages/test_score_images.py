from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ram.data_engine.score import CaptionParams
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.inference.scorer import Scorer
from ram.io import tables as storage
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.model.checkpoint import load_checkpoint
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import LocalEngine
from ram.pipeline.runner import PROVIDED
from ram.stages.score_images import Inputs, Outputs, Params, chunks_of_sources, run

PARAMS = Params(seed=0, top_k=4, floor=0.05, caption=None, batch_size=4, images_per_part=10)


def inputs(workspace: Path, scratch: Path) -> Inputs:
    scratch.mkdir(exist_ok=True)
    given = {f: read_artifact(artifact(f), workspace) for f in Inputs._fields if f not in PROVIDED}
    return Inputs(**given, scratch=scratch, engine=LocalEngine(1))


def table(outputs: Outputs) -> pd.DataFrame:
    return Table(outputs.tag_scores, artifact("tag_scores").schema).to_pandas()  # type: ignore[arg-type]


def test_every_train_image_and_labeled_dev_image_has_its_highest_scores_and_those_of_its_tags(
    drawn_workspace: Path, tmp_path: Path
) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    outputs = run(given, PARAMS)
    rows = table(outputs)
    splits = given.images.to_pandas().set_index("image_id")["split"]
    assert sorted(rows["image_id"]) == sorted(splits.index[splits.isin(["train", "dev"])])
    assert (rows["split"] == splits[rows["image_id"]].to_numpy()).all()
    checkpoint = load_checkpoint(given.generator_model)
    assert set(rows["model_version"]) == {checkpoint.version}
    scorer = Scorer(checkpoint, ImageStore(given.images, given.image_shards), FeatureStore(given.image_features))
    expected = {i: s for ids, scores in scorer.scores(rows["image_id"].tolist()) for i, s in zip(ids, scores, strict=True)}  # fmt: skip  # noqa: E501
    parsed = given.parsed_tags.to_pandas().groupby("image_id")["tag_id"].apply(set)
    rounding, num_certain = 1e-3, 0  # two steps of half precision below 1: scores nearer than that may change places
    for row in rows.itertuples():
        scores_K = expected[row.image_id].astype(np.float64)
        known = parsed.get(row.image_id, set())
        fourth, fifth = np.sort(scores_K)[[-4, -5]]
        certain = set(np.flatnonzero(scores_K > max(fifth, 0.05) + rounding))
        possible = set(np.flatnonzero(scores_K >= max(fourth, 0.05) - rounding))
        assert certain | known <= set(row.tag_ids) <= possible | known
        assert len(set(row.tag_ids) - known) <= 4
        num_certain += certain == possible
        assert np.asarray(row.scores, np.float64) == pytest.approx(scores_K[row.tag_ids], abs=rounding)
    assert num_certain > len(rows) / 2
    report = outputs.score_report
    assert report["num_images"] == {"train": 24, "dev": 18}
    assert report["num_scores_per_image"] == pytest.approx(rows["tag_ids"].map(len).mean())
    assert report["num_tags_not_scored"] == 0


def test_a_killed_run_goes_on_with_the_parts_that_are_missing(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    outputs = run(given, PARAMS)
    whole = table(outputs)
    parts = sorted(outputs.tag_scores.glob("part-*"))
    assert len(parts) == 3 + 2
    parts[1].unlink()
    before = parts[0].stat().st_mtime_ns
    again = run(given, PARAMS)
    pd.testing.assert_frame_equal(table(again), whole)
    assert storage.part_path(again.tag_scores, 0).stat().st_mtime_ns == before


def test_a_generator_of_more_tags_scores_those_of_the_label_system(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path / "scratch")
    system = LabelSystem.from_json(given.label_system)
    reversed_tags = [dataclasses.replace(tag, tag_id=i) for i, tag in enumerate(reversed(system.tags))]
    other = LabelSystem([*reversed_tags[:-1], dataclasses.replace(reversed_tags[-1], name="quasar")])
    outputs = run(given._replace(label_system=other.to_json()), PARAMS)
    assert outputs.score_report["num_tags_not_scored"] == 1
    plain = table(run(inputs(drawn_workspace, tmp_path / "plain"), dataclasses.replace(PARAMS, top_k=8, floor=0.0)))
    scores = {r.image_id: dict(zip(r.tag_ids, r.scores, strict=True)) for r in plain.itertuples()}
    for row in table(outputs).itertuples():
        assert 7 not in row.tag_ids
        for tag, score in zip(row.tag_ids, row.scores, strict=True):
            assert score == scores[row.image_id][system.find(other.names[tag]).tag_id]  # type: ignore[union-attr]


def test_a_model_without_a_caption_branch_writes_no_captions_and_says_so(drawn_workspace: Path, tmp_path: Path) -> None:
    caption = CaptionParams(
        num_beams=1, min_tokens=0, length_penalty=1.0, top_p=None, temperature=1.0, min_tag_score=0.5, max_tags=3
    )
    with pytest.raises(ValueError, match="no caption branch"):
        run(inputs(drawn_workspace, tmp_path / "scratch"), dataclasses.replace(PARAMS, caption=caption))


def _images_looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the images whose tokens the model is asked for, from now on."""
    seen: list[str] = []
    tokens = Scorer.tokens

    def counted(self: Scorer, image_ids: Sequence[str], *others: Any, **named: Any) -> Any:
        seen.extend(image_ids)
        return tokens(self, image_ids, *others, **named)

    monkeypatch.setattr(Scorer, "tokens", counted)
    return seen


def test_the_next_run_looks_only_at_new_images_and_gives_what_a_run_over_all_gives(
    drawn_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = dataclasses.replace(PARAMS, images_per_part=6)
    whole = inputs(drawn_workspace, tmp_path / "whole")
    rows = whole.images.to_pandas()
    train = sorted(rows["image_id"][rows["split"] == "train"])
    storage.write_table(rows[~rows["image_id"].isin(train[12:])], tmp_path / "images", whole.images.schema)
    before = whole._replace(images=Table(tmp_path / "images", whole.images.schema), state=tmp_path / "state")
    looked_at = _images_looked_at(monkeypatch)
    run(before._replace(scratch=tmp_path / "first"), params)
    assert len(looked_at) == 12 + 18

    looked_at.clear()
    more = whole._replace(state=tmp_path / "state", scratch=tmp_path / "second")
    found = table(run(more, params))
    assert sorted(looked_at) == train[12:]
    looked_at.clear()
    again = table(run(more._replace(scratch=tmp_path / "third"), params))
    assert looked_at == []
    pd.testing.assert_frame_equal(again, found)
    anew = table(run(whole._replace(scratch=tmp_path / "fourth"), params))
    pd.testing.assert_frame_equal(anew, found)


def test_parts_begin_anew_at_every_source() -> None:
    ids = ["a/1", "a/2", "a/3", "b/1", "c/1", "c/2"]
    assert list(chunks_of_sources(ids, 2)) == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert list(chunks_of_sources([], 2)) == []


@pytest.mark.parametrize(("parameters", "message"), [({"top_k": 0}, "top_k"), ({"floor": 1.0}, "floor must be in")])
def test_params_that_keep_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PARAMS, **parameters)
