from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from detectors import detector_params

from ram.data_engine.clean import EvidenceParams, RuleParams
from ram.io.tables import Table, as_arrow, write_part
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import LocalEngine
from ram.stages.clean_tags import Inputs, Outputs, Params, run

PARAMS = Params(
    seed=0,
    detectors=detector_params(points={"pca_dims": 8, "max_regions": 1000}),
    evidence=EvidenceParams(
        noise={"caption": 0.1, "implied": 0.1, "generated_caption": 0.3, "predicted": 0.3}, foreign_share=0.0, word_weight=1.0,
        caption_weight=1.0,
        probe_weight=1.0, outlier_weight=2.0, region_weight=1.0, image_weight=0.0,
    ),
    rules=RuleParams(max_wrong_probability=0.5, outlier_share=None, min_outlier_score=None, min_region_score=None),
    honor_verdicts=True,
    max_rows_at_once=150,
)  # fmt: skip
TAGS = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(["dog", "cat", "zebra"])])
NUM_IMAGES = 200


def write(tmp_path: Path, name: str, rows: pd.DataFrame, num_parts: int = 1) -> Table:
    schema = artifact(name).schema
    assert schema is not None
    for part, image_ids in enumerate(np.array_split(rows["image_id"].unique(), num_parts)):
        write_part(as_arrow(rows[rows["image_id"].isin(image_ids)], schema), tmp_path / name, part, schema)
    return Table(tmp_path / name, schema)


@pytest.fixture
def given(tmp_path: Path) -> Inputs:
    """Images with a dog each, and every second with a cat that in 15 of 100 is none: its region looks otherwise."""
    rng = np.random.default_rng(0)
    looks_TD = rng.normal(size=(2, 12))
    rows: list[dict[str, Any]] = []
    labels = []
    for number in range(NUM_IMAGES):
        for tag in range(1 + number % 2):
            image_id = f"home/{number:03}"
            wrong = tag == 1 and rng.random() < 0.15
            feature = rng.normal(size=12) * 2 if wrong else looks_TD[tag] + 0.2 * rng.normal(size=12)
            rows.append(
                {
                    "image_id": image_id, "tag_id": tag, "score": 1.0, "model_version": "v", "image_score": 0.5,
                    "origin": "human" if wrong and number < 30 else "caption" if number % 3 else "predicted",
                    "region_score": 0.3 if wrong else 0.6, "feature": feature.astype(np.float32),
                    "held_out_evidence": rng.normal() + (-2 if wrong else 2), "found_by": "grid",
                    "x0": 0.1, "y0": 0.2, "x1": 0.7, "y1": 0.8,
                }
            )  # fmt: skip
            if not wrong:
                labels.append({"image_id": image_id, "benchmark": "pets", "name": TAGS.names[tag]})
    table = pd.DataFrame(rows)
    images = pd.DataFrame({"image_id": table["image_id"].unique()}).assign(
        source="home", split="train", shard="", member="", offset=0, num_bytes=1, width=1, height=1, sha256="",
        perceptual_hash="",
    )  # fmt: skip
    said = table[table["origin"] == "caption"]
    parsed = said.assign(caption_indices=[[0]] * len(said))
    evidence = pd.DataFrame({"image_id": said["image_id"].unique()}).assign(caption_index=0, evidence=0.0)
    boxless = pd.DataFrame(labels).assign(x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Inputs(
        generated_tags=write(tmp_path, "generated_tags", table, num_parts=3),
        region_features=write(tmp_path, "region_features", table, num_parts=3),
        parsed_tags=write(tmp_path, "parsed_tags", parsed),
        caption_evidence=write(tmp_path, "caption_evidence", evidence),
        reviews=tmp_path / "reviews",
        images=write(tmp_path, "images", images),
        labels=write(tmp_path, "labels", boxless),
        benchmarks={"pets": {"sources": ["home"], "names": ["dog", "cat"], "unseen": []}},
        label_system=TAGS.to_json(),
        scratch=scratch,
        engine=LocalEngine(1),
    )


def cleaned(outputs: Outputs) -> pd.DataFrame:
    return Table(outputs.cleaned_tags, artifact("cleaned_tags").schema).to_pandas()  # type: ignore[arg-type]


def test_wrong_rows_are_removed_and_the_report_says_how_many(given: Inputs) -> None:
    outputs = run(given, PARAMS)
    rows = cleaned(outputs)
    truth = outputs.cleaning_report["truth"]
    wrong = (rows["region_score"] < 0.5) & (rows["origin"] != "human")
    assert (wrong & ~rows["kept"]).sum() / (~rows["kept"]).sum() > 0.8
    assert (wrong & ~rows["kept"]).sum() / wrong.sum() > 0.6
    assert truth["all"]["num_removed"] == (~rows["kept"]).sum()
    assert truth["all"]["num_wrong"] == (rows["region_score"] < 0.5).sum()
    assert truth["all"]["precision_after"] > truth["all"]["precision_before"]


def test_rows_keep_their_order_and_numbers_and_removed_ones_a_reason(given: Inputs) -> None:
    rows = cleaned(run(given, PARAMS))
    before, regions = given.generated_tags.to_pandas(), given.region_features.to_pandas()
    pd.testing.assert_frame_equal(rows[["image_id", "tag_id", "score"]], before[["image_id", "tag_id", "score"]])
    columns = ["region_score", "held_out_evidence", "x0", "y0", "x1", "y1"]
    pd.testing.assert_frame_equal(rows[columns], regions[columns])
    assert rows["kept"].equals(rows["reason"].isna())
    assert set(rows["reason"].dropna()) <= {"cluster_outlier", "contrary_prediction"}


def judge(given: Inputs, *lines: str) -> None:
    given.reviews.mkdir(exist_ok=True)
    (given.reviews / "verdicts.csv").write_text("\n".join(["image_id,tag,verdict", *lines]) + "\n")


def test_a_person_overrules_the_cleaning_and_an_empty_file_undoes_it(given: Inputs, tmp_path: Path) -> None:
    before = cleaned(run(given, PARAMS))
    removed = before[~before["kept"]].iloc[0]
    judge(given, f"{removed.image_id},{TAGS.names[removed.tag_id]},keep", "home/001,Dogs,wrong", "home/000,zebra,keep")
    (tmp_path / "again").mkdir()
    outputs = run(given._replace(scratch=tmp_path / "again"), PARAMS)
    rows = cleaned(outputs).set_index(["image_id", "tag_id"])
    kept, wrong, added = (rows.loc[k] for k in ((removed.image_id, removed.tag_id), ("home/001", 0), ("home/000", 2)))
    assert (kept.origin, kept.kept, kept.wrong_probability) == ("human", True, 0)
    assert (wrong.origin, wrong.kept, wrong.reason, wrong.wrong_probability) == ("caption", False, "human_verdict", 1)
    assert (added.origin, added.kept, added.score) == ("human", True, 1)
    assert added[["image_score", "region_score", "held_out_evidence", "outlier_score", "x0"]].isna().all()
    others = before.set_index(["image_id", "tag_id"]).drop([kept.name, wrong.name])
    pd.testing.assert_frame_equal(rows.drop([kept.name, wrong.name, added.name]), others)
    judge(given)
    (tmp_path / "third").mkdir()
    pd.testing.assert_frame_equal(cleaned(run(given._replace(scratch=tmp_path / "third"), PARAMS)), before)


def test_verdicts_without_effect_are_counted_with_their_line(given: Inputs) -> None:
    lines = (
        "home/000,unicorn,keep",
        "nowhere/9,dog,wrong",
        "home/002,zebra,wrong",
        "home/003,dog,wrong",
        "home/004,dog,",
    )
    judge(given, *lines)
    report = run(given, PARAMS).cleaning_report["verdicts"]
    assert report["without_effect"] == [
        "verdicts.csv:2: keep 'unicorn' of 'home/000': the label system has no such tag",
        "verdicts.csv:3: wrong 'dog' of 'nowhere/9': there is no such image",
    ]
    assert (report["num_keep"], report["num_wrong"], report["num_wrong_without_row"]) == (0, 2, 1)


def test_every_judged_row_names_its_detector_and_the_report_counts_the_others(given: Inputs) -> None:
    few = detector_params(points={"min_regions": 120})
    outputs = run(given, dataclasses.replace(PARAMS, detectors=few, max_rows_at_once=1000))
    rows = cleaned(outputs)
    judged = rows["tag_id"] == 0  # every second image has a cat: 100 regions are too few
    assert (rows.loc[judged, "detector"] == "hdbscan").all()
    assert rows.loc[judged, "outlier_score"].notna().all()
    assert rows.loc[~judged, ["detector", "outlier_score"]].isna().all(axis=None)
    assert outputs.cleaning_report["num_rows_not_judged"] == (~judged).sum()
    assert outputs.cleaning_report["num_tags_not_judged"] == 1


def test_human_rows_stay(given: Inputs) -> None:
    rows = cleaned(run(given, PARAMS))
    assert (rows["origin"] == "human").sum() > 0
    assert rows.loc[rows["origin"] == "human", "kept"].all()


def test_labels_do_not_change_a_decision(given: Inputs, tmp_path: Path) -> None:
    with_labels = cleaned(run(given, PARAMS))
    (tmp_path / "other").mkdir()
    outputs = run(given._replace(benchmarks={}, scratch=tmp_path / "other"), PARAMS)
    assert outputs.cleaning_report["truth"] is None
    pd.testing.assert_frame_equal(cleaned(outputs), with_labels)


def test_a_killed_run_goes_on_where_it_was(given: Inputs) -> None:
    whole = cleaned(run(given, PARAMS))
    (given.scratch / "cleaned_tags" / "part-00002.parquet").unlink()
    pd.testing.assert_frame_equal(cleaned(run(given, PARAMS)), whole)
    (given.scratch / "witnesses.npy").unlink()
    pd.testing.assert_frame_equal(cleaned(run(given, PARAMS)), whole)


def test_regions_of_other_tags_are_refused(given: Inputs, tmp_path: Path) -> None:
    rows = given.region_features.to_pandas().assign(tag_id=2)
    with pytest.raises(ValueError, match="have different rows; run embed_regions again"):
        run(given._replace(region_features=write(tmp_path / "x", "region_features", rows, num_parts=3)), PARAMS)


def test_fewer_rows_at_once_than_a_tag_needs_to_be_clustered_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"max_rows_at_once must be at least detectors.points.min_regions \(20\), got 10"
    ):
        dataclasses.replace(PARAMS, max_rows_at_once=10)


def test_a_foreign_caption_takes_its_tags_along(given: Inputs, tmp_path: Path) -> None:
    params = dataclasses.replace(PARAMS, evidence=dataclasses.replace(PARAMS.evidence, foreign_share=0.05))
    table = given.caption_evidence.to_pandas()
    foreign = table["image_id"].iloc[::10]
    table.loc[table["image_id"].isin(foreign), "evidence"] = -12.0
    judged = given._replace(
        caption_evidence=write(tmp_path / "judged", "caption_evidence", table), scratch=tmp_path / "s"
    )
    rows = cleaned(run(judged, params))
    mine = rows[rows["image_id"].isin(foreign) & (rows["origin"] == "caption")]
    assert len(mine) >= 5
    assert not mine["kept"].any()
    plain = cleaned(run(given, params)).set_index(["image_id", "tag_id"])["kept"]
    assert plain.loc[list(zip(mine["image_id"], mine["tag_id"], strict=True))].mean() > 0.7
