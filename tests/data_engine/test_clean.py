from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from detectors import detector_params
from hypothesis import given
from hypothesis import strategies as st

from ram.data_engine.clean import (
    EvidenceParams,
    RuleParams,
    foreign_probability,
    removals,
    witnesses_of_bucket,
    wrong_probability,
)
from ram.data_engine.detectors import DETECTORS, judge

NOISE = {"caption": 0.1, "implied": 0.1, "generated_caption": 0.3, "predicted": 0.3}
EVIDENCE = EvidenceParams(
    noise=NOISE,
    foreign_share=0.0,
    word_weight=1.0,
    caption_weight=1.0,
    probe_weight=1.0,
    outlier_weight=0.0,
    region_weight=0.0,
    image_weight=0.0,
)
RULES = RuleParams(max_wrong_probability=0.5, outlier_share=None, min_outlier_score=None, min_region_score=None)
NO_RULES = dataclasses.replace(RULES, max_wrong_probability=None)


def rows(**columns: list[object]) -> pd.DataFrame:
    length = len(next(iter(columns.values())))
    usual = {"image_id": [f"s/{i}" for i in range(length)], "origin": "caption", "held_out_evidence": 0.0}
    usual |= dict.fromkeys(("outlier", "region", "image", "outlier_score", "region_score"), 0.5)
    usual |= {"detector": 0, "caption_evidence": np.nan}
    return pd.DataFrame({**usual, **columns})


def test_without_any_witness_a_row_is_as_likely_wrong_as_its_origin_says() -> None:
    origins = list(NOISE)
    probability, _ = wrong_probability(rows(origin=origins), EVIDENCE)
    np.testing.assert_allclose(probability, list(NOISE.values()))


def test_evidence_counts_as_bayes_says() -> None:
    evidence = [-3.0, -1.0, 0.0, 2.0]
    probability, _ = wrong_probability(rows(held_out_evidence=evidence), EVIDENCE)
    likelihood = np.exp(evidence)  # of the image where the tag is right, relative to where it is wrong
    np.testing.assert_allclose(probability, 0.1 / (0.1 + 0.9 * likelihood))


def test_human_rows_are_never_removed() -> None:
    found = removals(
        rows(
            origin=["human", "caption"], held_out_evidence=[-20.0, -20.0], outlier=[1.0, 0.2], region_score=[0.0, 0.0]
        ),
        EVIDENCE,
        RuleParams(max_wrong_probability=0.0, outlier_share=1.0, min_outlier_score=0.0, min_region_score=1.0),
    )
    assert found["kept"].tolist() == [True, False]
    assert found["reason"].tolist() == [None, "cluster_outlier"]
    assert found["wrong_probability"].tolist()[0] == 0


def test_a_caption_that_is_foreign_takes_its_words_with_it() -> None:
    params = dataclasses.replace(EVIDENCE, foreign_share=0.05, caption_weight=0.5)
    evidence = [-6.0, 0.0, 6.0, np.nan]
    origins = ["caption", "caption", "caption", "predicted"]
    probability, _ = wrong_probability(rows(origin=origins, caption_evidence=evidence), params)
    odds = np.log(0.05 / 0.95) - 0.5 * np.array(evidence[:3])
    foreign = 1 / (1 + np.exp(-odds))
    np.testing.assert_allclose(probability, [*(foreign + (1 - foreign) * 0.1), 0.3])


def test_an_image_none_of_whose_words_fit_takes_a_doubtful_one_with_it() -> None:
    params = dataclasses.replace(EVIDENCE, foreign_share=0.05)
    table = rows(
        image_id=["a", "a", "a", "a", "b", "b", "b"],
        origin=["caption", "caption", "caption", "predicted", "caption", "caption", "caption"],
        held_out_evidence=[-3.0, -3.0, -0.2, -0.2, 3.0, 3.0, -0.2],
    )
    probability, _ = wrong_probability(table, params)
    alone, _ = wrong_probability(table, EVIDENCE)
    assert probability[2] > 0.9 > 0.2 > alone[2]
    assert probability[6] < 0.15
    assert probability[3] == alone[3]  # what the model added is no word of the caption


def test_the_reason_names_what_weighed_most() -> None:
    params = dataclasses.replace(EVIDENCE, outlier_weight=8.0, region_weight=8.0)
    table = rows(outlier=[0.99, 0.5, 0.5, 0.6], region=[0.5, 0.01, 0.5, 0.01])
    found = removals(table, params, RULES)
    assert found["reason"].tolist() == ["cluster_outlier", "contrary_prediction", None, "contrary_prediction"]


def test_the_papers_rules_drop_the_outlying_share_and_what_is_not_predicted_on_its_region() -> None:
    table = rows(
        outlier=[0.95, 0.95, 0.2, 0.2], outlier_score=[0.8, np.nan, 0.8, 0.1], region_score=[0.9, 0.9, 0.05, 0.9]
    )
    rules = dataclasses.replace(NO_RULES, outlier_share=0.1, min_region_score=0.2)
    found = removals(table, EVIDENCE, rules)
    assert found["reason"].tolist() == ["cluster_outlier", None, "contrary_prediction", None]
    assert removals(table, EVIDENCE, dataclasses.replace(rules, min_outlier_score=0.9))["reason"].tolist()[0] is None


def test_with_every_rule_off_nothing_is_removed() -> None:
    assert removals(rows(held_out_evidence=[-30.0]), EVIDENCE, NO_RULES)["kept"].all()


def test_a_score_alone_removes_whatever_the_share() -> None:
    table = rows(outlier=[0.95, 0.6, 0.2, 0.5], outlier_score=[0.9, 0.8, 0.3, np.nan])
    found = removals(table, EVIDENCE, dataclasses.replace(NO_RULES, min_outlier_score=0.8))
    assert found["kept"].tolist() == [False, False, True, True]
    both = dataclasses.replace(NO_RULES, min_outlier_score=0.8, outlier_share=0.1)
    assert removals(table, EVIDENCE, both)["kept"].tolist() == [False, True, True, True]


def test_what_the_held_out_probe_contradicts_is_no_cluster_outlier() -> None:
    names = list(DETECTORS)
    table = rows(outlier=[0.95, 0.95], detector=[names.index("kmeans"), names.index("confident_learning")])
    found = removals(table, EVIDENCE, dataclasses.replace(NO_RULES, outlier_share=0.1))
    assert found["reason"].tolist() == ["cluster_outlier", "contrary_prediction"]


@pytest.mark.parametrize("use", [("hdbscan",), ("kmeans", "confident_learning")])
def test_witnesses_are_found_tag_by_tag(tmp_path: Path, use: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    tag_ids = np.array([7] * 60 + [9] * 10 + [11] * 5)[rng.permutation(75)].astype(np.int32)
    features = rng.normal(size=(75, 6)).astype(np.float32)
    region, image, evidence = rng.random((3, 75)).astype(np.float32)
    origins = np.array(["caption", "predicted"])[rng.integers(2, size=75)]
    table = pa.table(
        {"row": np.arange(75) * 3, "tag_id": tag_ids, "image_score": image, "region_score": region, "origin": origins}
        | {"held_out_evidence": evidence, "feature": pa.array(list(features), pa.list_(pa.float32()))}
    )
    pq.write_table(table, tmp_path / "bucket.parquet")
    params = detector_params(use=dict.fromkeys(use, 1.0), points={"pca_dims": 4, "max_regions": 100})
    found = witnesses_of_bucket(tmp_path / "bucket.parquet", params, seed=0).to_pandas()
    many = tag_ids == 7
    alone = judge(features[many], evidence[many], origins[many] == "caption", params, seed=0)
    np.testing.assert_array_equal(found["outlier_score"][many], alone.score_N)
    np.testing.assert_array_equal(found["outlier"][many], alone.outlier_N)
    assert (found.drop(columns="row").dtypes == np.float32).all()
    assert set(found["detector"][many]) == {list(DETECTORS).index(name) for name in use}
    assert found["outlier_score"][~many].isna().all()
    assert (found["outlier"][~many] == 0.5).all()
    assert (found["detector"][~many] == -1).all()
    assert found["image"][many].idxmax() == np.flatnonzero(many)[image[many].argmax()]
    assert found["region"][tag_ids == 9].max() == pytest.approx(0.95)
    assert found["region"][tag_ids == 11].max() == pytest.approx(0.9)


def test_origins_without_an_expected_noise_are_refused() -> None:
    with pytest.raises(ValueError, match="noise lacks the origins predicted"):
        dataclasses.replace(EVIDENCE, noise={k: v for k, v in NOISE.items() if k != "predicted"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": NOISE | {"predicted": 1.0}}, "shares of noise must lie between 0 and 1"),
        ({"noise": NOISE | {"caption": 0.0}}, "shares of noise must lie between 0 and 1"),
        ({"noise": NOISE | {"hearsay": 0.1}}, "unknown origin 'hearsay'"),
        ({"foreign_share": 1.0}, r"foreign_share must be in \[0, 1\), got 1.0"),
        ({"foreign_share": -0.1}, r"foreign_share must be in \[0, 1\), got -0.1"),
    ],
)
def test_evidence_params_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EVIDENCE, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("parameter", [f.name for f in dataclasses.fields(RuleParams)])
def test_rules_lie_between_0_and_1(parameter: str) -> None:
    for value in (0.0, 1.0):
        assert getattr(dataclasses.replace(RULES, **{parameter: value}), parameter) == value
    for value in (-0.01, 1.01):
        with pytest.raises(ValueError, match=rf"{parameter} must be in \[0, 1\]"):
            dataclasses.replace(RULES, **{parameter: value})


def test_a_row_that_is_wrong_by_its_origin_alone_is_no_cluster_outlier() -> None:
    evidence = dataclasses.replace(EVIDENCE, noise=NOISE | {"predicted": 0.7})
    found = removals(rows(origin=["predicted"]), evidence, RULES)
    assert found["reason"].tolist() == ["contrary_prediction"]


def test_a_row_as_likely_wrong_as_right_stays() -> None:
    even = dataclasses.replace(EVIDENCE, noise=NOISE | {"predicted": 0.5})
    assert removals(rows(origin=["predicted"]), even, RULES)["kept"].tolist() == [True]


def test_what_the_probe_judged_and_does_not_find_far_stays() -> None:
    table = rows(outlier=[0.5, 0.95], detector=[list(DETECTORS).index("confident_learning")] * 2)
    found = removals(table, EVIDENCE, dataclasses.replace(NO_RULES, outlier_share=0.1))
    assert found["kept"].tolist() == [True, False]


def test_a_row_that_only_reaches_the_share_or_the_region_score_stays() -> None:
    rules = dataclasses.replace(NO_RULES, outlier_share=0.1, min_region_score=0.25)
    found = removals(rows(outlier=[0.9, 0.91, 0.5], region_score=[0.25, 0.25, 0.24]), EVIDENCE, rules)
    assert found["kept"].tolist() == [True, False, False]


# The formulas once more, row by row in plain Python: what the vectors must equal.


def sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def word_against(row: pd.Series, params: EvidenceParams) -> float:
    return float(np.clip(-params.probe_weight * row["held_out_evidence"], -3, 3)) if row["origin"] == "caption" else 0.0


def foreign(against: float, evidence: float, params: EvidenceParams) -> float:
    said = 0.0 if math.isnan(evidence) else params.caption_weight * evidence
    return sigmoid(logit(params.foreign_share) + params.word_weight * against - said)


def wrong(row: pd.Series, others: list[pd.Series], params: EvidenceParams) -> float:
    if row["origin"] == "human":
        return 0.0
    prior = params.noise[row["origin"]]
    if params.foreign_share and row["origin"] in ("caption", "implied"):
        stray = foreign(sum(word_against(other, params) for other in others), row["caption_evidence"], params)
        prior = stray + (1 - stray) * prior
    return sigmoid(
        logit(prior)
        - params.probe_weight * row["held_out_evidence"]
        + params.outlier_weight * (row["outlier"] - 0.5)
        + params.region_weight * (0.5 - row["region"])
        + params.image_weight * (0.5 - row["image"])
    )


WEIGHT = st.floats(0, 3)
SHARE = st.floats(0.05, 0.95)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    length = draw(st.integers(1, 8))
    columns = {
        name: draw(st.lists(st.floats(0, 1), min_size=length, max_size=length))
        for name in ("outlier", "region", "image")
    }
    evidence = st.floats(-6, 6)
    table = rows(
        image_id=[f"s/{draw(st.integers(0, 2))}" for _ in range(length)],
        origin=[draw(st.sampled_from(["human", *NOISE])) for _ in range(length)],
        held_out_evidence=[draw(evidence) for _ in range(length)],
        caption_evidence=[draw(evidence | st.just(math.nan)) for _ in range(length)],
        **columns,  # type: ignore[arg-type]
    )
    table = table.set_index(np.arange(length)[::-1] + 5)
    return table.astype({"origin": "category"}) if draw(st.booleans()) else table


@given(
    table=tables(),
    noise=st.tuples(SHARE, SHARE, SHARE, SHARE),
    foreign_share=st.just(0.0) | SHARE,
    weights=st.tuples(*[WEIGHT] * 6),
)
def test_probabilities_are_those_of_the_formula_row_by_row(
    table: pd.DataFrame, noise: tuple[float, ...], foreign_share: float, weights: tuple[float, ...]
) -> None:
    names = ("word_weight", "caption_weight", "probe_weight", "outlier_weight", "region_weight", "image_weight")
    params = EvidenceParams(
        noise=dict(zip(NOISE, noise, strict=True)),
        foreign_share=foreign_share,
        **dict(zip(names, weights, strict=True)),
    )
    found, _ = wrong_probability(table, params)
    listed = [row for _, row in table.iterrows()]
    wanted = [
        wrong(row, [other for j, other in enumerate(listed) if j != i and other["image_id"] == row["image_id"]], params)
        for i, row in enumerate(listed)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-12)
    removed = removals(table, params, RULES)
    pd.testing.assert_index_equal(removed.index, table.index)
    np.testing.assert_array_equal(removed["kept"], found <= 0.5)
    np.testing.assert_allclose(removed["wrong_probability"], wanted, rtol=1e-6)
    if foreign_share:
        captions = pd.DataFrame({"image_id": ["s/0", "s/1", "s/none"], "caption_evidence": [1.0, math.nan, -2.0]})
        strays = foreign_probability(captions, table, params)
        for image_id, evidence, stray in zip(captions["image_id"], captions["caption_evidence"], strays, strict=True):
            against = sum(word_against(row, params) for row in listed if row["image_id"] == image_id)
            assert stray == pytest.approx(foreign(against, evidence, params), rel=1e-6)
