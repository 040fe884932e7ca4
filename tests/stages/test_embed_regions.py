from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ram.data_engine.grounding_dino import GroundingDinoParams
from ram.data_engine.localize import LocaliserParams
from ram.data_engine.probe import ProbeParams
from ram.data_engine.regions import RegionParams
from ram.datasets.image_store import ImageStore
from ram.io.tables import Table, as_arrow, write_part
from ram.model.checkpoint import load_checkpoint
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import LocalEngine
from ram.pipeline.runner import PROVIDED
from ram.stages import embed_regions
from ram.stages.embed_regions import Inputs, Outputs, Params, run

PARAMS = Params(
    seed=0,
    localizer=LocaliserParams(
        kind="attention",
        fallback="attention",
        relevance="occlusion",
        min_share=0.3,
        window_sides=(0.5,),
        grounding_dino=GroundingDinoParams(
            model="none", min_box_score=0.2, min_tag_score=0.2, short_side=32, batch_size=2
        ),
    ),
    region=RegionParams(view="tokens", num_parts=2, padding=0.0),
    probe=ProbeParams(num_folds=2, ridge=1.0, prior_weight=5.0),
    batch_size=5,
)


@pytest.fixture
def given(drawn_workspace: Path, tmp_path: Path) -> Inputs:
    """The drawn workspace with generated_tags in 3 parts."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    inputs = {f: read_artifact(artifact(f), drawn_workspace) for f in Inputs._fields if f not in PROVIDED}
    tags = inputs["generated_tags"]
    rows = tags.to_pandas()
    for index, image_ids in enumerate(np.array_split(rows["image_id"].unique(), 3)):
        mine = as_arrow(rows[rows["image_id"].isin(image_ids)], tags.schema)
        write_part(mine, tmp_path / "generated_tags", index, tags.schema)
    return Inputs(**inputs, scratch=scratch, engine=LocalEngine(1))._replace(
        generated_tags=Table(tmp_path / "generated_tags", tags.schema)
    )


def regions(outputs: Outputs) -> pd.DataFrame:
    return Table(outputs.region_features, artifact("region_features").schema).to_pandas()  # type: ignore[arg-type]


def test_rows_and_parts_are_those_of_generated_tags(given: Inputs) -> None:
    outputs = run(given, PARAMS)
    for part in given.generated_tags.part_paths:
        mine = pd.read_parquet(outputs.region_features / part.name)
        pd.testing.assert_frame_equal(mine[["image_id", "tag_id"]], pd.read_parquet(part)[["image_id", "tag_id"]])
        assert np.isfinite(np.stack(mine["feature"])).all()
    rows = regions(outputs)
    assert (rows["x1"] > rows["x0"]).all()
    assert (rows["y1"] > rows["y0"]).all()
    assert rows[["x0", "y0", "x1", "y1", "region_score"]].stack().between(0, 1).all()


def test_a_region_that_is_the_whole_image_has_its_pooled_token_and_its_score(given: Inputs) -> None:
    # As many parts as the image has tokens (1 x 1 at 32 px): the region then is the image, token by token.
    localizer = dataclasses.replace(PARAMS.localizer, kind="whole")
    region = dataclasses.replace(PARAMS.region, num_parts=1)
    rows = regions(run(given, dataclasses.replace(PARAMS, localizer=localizer, region=region)))
    model = load_checkpoint(given.preliminary_model).model
    store = ImageStore(given.images, given.image_shards)
    for image_id, mine in list(rows.groupby("image_id"))[:4]:
        with torch.inference_mode():
            image = store.open(str(image_id), min_size=model.preprocess.image_size)
            tokens = model.encode(model.preprocess(image)[None])
            scores_K = model.tag_logits(tokens)[0].sigmoid().numpy()
        for row in mine.itertuples():
            np.testing.assert_allclose(row.feature, tokens[0, 0].numpy(), atol=1e-4)
            assert row.region_score == pytest.approx(scores_K[row.tag_id], abs=1e-4)


def test_a_crop_of_the_whole_image_is_the_image(given: Inputs) -> None:
    localizer = dataclasses.replace(PARAMS.localizer, kind="whole")
    crops = dataclasses.replace(PARAMS.region, view="crop")
    by_crop = regions(run(given, dataclasses.replace(PARAMS, localizer=localizer, region=crops)))
    model = load_checkpoint(given.preliminary_model).model
    image = ImageStore(given.images, given.image_shards).open(by_crop["image_id"][0])
    with torch.inference_mode():
        pooled = model.encode(model.preprocess(image)[None])[0, 0]
    np.testing.assert_allclose(by_crop["feature"][0], pooled.numpy(), atol=1e-4)


def test_boxes_of_the_labels_are_used_and_what_they_lack_is_left_to_the_fallback_and_counted(
    given: Inputs, drawn_workspace: Path, tmp_path: Path
) -> None:
    labels = given.labels.to_pandas()
    boxed = labels["image_id"].unique()[:3]
    labels.loc[labels["image_id"].isin(boxed), ["x0", "y0", "x1", "y1"]] = [0.25, 0.125, 0.75, 0.5]
    write_part(as_arrow(labels, given.labels.schema), tmp_path / "labels", 0, given.labels.schema)
    localizer = dataclasses.replace(PARAMS.localizer, kind="boxes", fallback="grid")
    outputs = run(
        given._replace(labels=Table(tmp_path / "labels", given.labels.schema)),
        dataclasses.replace(PARAMS, localizer=localizer),
    )
    rows = regions(outputs)
    found = rows[rows["found_by"] == "boxes"]
    assert set(found["image_id"]) == set(boxed)
    np.testing.assert_array_equal(found[["x0", "y0", "x1", "y1"]].drop_duplicates(), [[0.25, 0.125, 0.75, 0.5]])
    assert set(rows["found_by"]) == {"boxes", "grid"}
    report = outputs.region_report
    assert report["found_by"] == rows["found_by"].value_counts().to_dict()
    assert report["num_rows"] == len(rows)


def test_labels_are_not_opened_where_another_localizer_is_chosen(given: Inputs) -> None:
    unread = given._replace(labels=None)  # type: ignore[arg-type]
    assert len(regions(run(unread, PARAMS))) == given.generated_tags.num_rows
    boxes = dataclasses.replace(PARAMS.localizer, kind="boxes")
    with pytest.raises(AttributeError):
        run(unread._replace(scratch=given.scratch.parent), dataclasses.replace(PARAMS, localizer=boxes))


def test_rows_that_no_localizer_finds_have_the_whole_image_and_are_counted(given: Inputs) -> None:
    # The map of these images is a single cell, in which nothing can be found.
    outputs = run(given, PARAMS)
    rows = regions(outputs)
    assert (rows[["x0", "y0", "x1", "y1"]] == [0, 0, 1, 1]).all(axis=None)
    assert outputs.region_report["found_by"] == {"whole": len(rows)}
    assert outputs.region_report["whole_image_share"] == 1


@pytest.mark.parametrize("view", ["tokens", "roi_align", "crop"])
def test_every_view_describes_every_row(given: Inputs, view: str) -> None:
    localizer = dataclasses.replace(PARAMS.localizer, kind="grid")
    region = dataclasses.replace(PARAMS.region, view=view)
    rows = regions(run(given, dataclasses.replace(PARAMS, localizer=localizer, region=region)))
    assert len(rows) == given.generated_tags.num_rows
    assert np.isfinite(np.stack(rows["feature"])).all()


def test_a_killed_run_goes_on_with_the_parts_that_are_missing(given: Inputs) -> None:
    outputs = run(given, PARAMS)
    whole = regions(outputs)
    (outputs.region_features / "part-00001.parquet").unlink()
    pd.testing.assert_frame_equal(regions(run(given, PARAMS)), whole)


def test_without_any_tag_there_are_no_regions(given: Inputs, tmp_path: Path) -> None:
    schema = given.generated_tags.schema
    write_part(schema.empty_table(), tmp_path / "none", 0, schema)
    outputs = run(given._replace(generated_tags=Table(tmp_path / "none", schema)), PARAMS)
    assert regions(outputs).empty


def test_rows_of_an_image_that_do_not_stand_together_are_refused(given: Inputs, tmp_path: Path) -> None:
    rows = given.generated_tags.to_pandas().iloc[[0, 5, 1]]
    write_part(as_arrow(rows, given.generated_tags.schema), tmp_path / "mixed", 0, given.generated_tags.schema)
    with pytest.raises(ValueError, match="do not stand together; run generate_tags again"):
        run(given._replace(generated_tags=Table(tmp_path / "mixed", given.generated_tags.schema)), PARAMS)


def test_regions_of_the_same_images_and_tags_are_not_looked_for_again(
    given: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in: list[int] = []
    find = embed_regions._Parts.find
    monkeypatch.setattr(
        embed_regions._Parts,
        "find",
        lambda self, index, embedder: (found_in.append(index), find(self, index, embedder)),
    )
    whole = regions(run(given, PARAMS))
    assert found_in == [0, 1, 2]
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for part in given.generated_tags.part_paths[:2]:
        shutil.copy(part, fewer)
    kept = given._replace(state=tmp_path / "state")
    run(kept._replace(generated_tags=Table(fewer, given.generated_tags.schema), scratch=tmp_path / "first"), PARAMS)
    found_in.clear()
    more = regions(run(kept._replace(scratch=tmp_path / "second"), PARAMS))
    assert found_in == [2]
    pd.testing.assert_frame_equal(more, whole)
