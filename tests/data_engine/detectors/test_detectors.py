from __future__ import annotations

import numpy as np
import pytest
from detectors import detector_params, modes, share_found
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.data_engine.detectors import COMBINATIONS, DETECTORS, Judgement, judge

NUM_RIGHT, NUM_WRONG = 300, 30
WRONG = np.arange(NUM_RIGHT + NUM_WRONG) >= NUM_RIGHT


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, evidence and trust of a tag of three looks, with wrong regions all over the place."""
    features = np.concatenate([modes(NUM_RIGHT, 3, seed), modes(NUM_WRONG, NUM_WRONG, seed + 1) * 1.5])
    evidence = np.where(WRONG, -3, 3) + np.random.default_rng(seed).normal(size=len(features))
    return features, evidence, np.ones(len(features), dtype=bool)


def judged(use: dict[str, float], combine: str = "mean", seed: int = 0) -> Judgement:
    return judge(*planted(), detector_params(use=use, combine=combine), seed)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_finds_planted_outliers(name: str) -> None:
    found = judged({name: 1.0})
    assert share_found(found.score_N, WRONG) > 0.8
    assert ((found.score_N >= 0) & (found.score_N <= 1)).all()
    assert (found.detector_N == list(DETECTORS).index(name)).all()


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_all_detectors_together_find_them_too(combine: str) -> None:
    found = judged(dict.fromkeys(DETECTORS, 1.0), combine)
    assert share_found(found.score_N, WRONG) > 0.9


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_seed_gives_the_same_judgement(name: str) -> None:
    np.testing.assert_array_equal(judged({name: 1.0}, seed=5).score_N, judged({name: 1.0}, seed=5).score_N)


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "confident_learning"])
def test_copies_of_one_region_get_one_score_and_never_not_a_number(name: str) -> None:
    features, evidence, trusted = planted()
    more = [np.concatenate([a, np.repeat(a[:1], 80, axis=0)]) for a in (features, evidence, trusted)]
    found = judge(*more, detector_params(use={name: 1.0}), seed=0)
    assert np.isfinite(found.score_N).all()
    assert len(set(found.score_N[len(features) :].tolist())) == 1
    alone = judge(features, evidence, trusted, detector_params(use={name: 1.0}), seed=0)
    np.testing.assert_array_equal(found.score_N[: len(features)], alone.score_N)


@pytest.mark.parametrize("name", DETECTORS)
def test_equal_regions_or_too_few_are_not_judged(name: str) -> None:
    for features in (np.ones((200, 5)), modes(19, 2)):
        trusted = np.zeros(len(features), dtype=bool)  # nobody said the tag: nothing to be confident by
        found = judge(features, np.zeros(len(features)), trusted, detector_params(use={name: 1.0}), seed=0)
        assert np.isnan(found.score_N).all()
        assert (found.outlier_N == 0.5).all()
        assert (found.detector_N == -1).all()


def test_a_detector_that_cannot_judge_leaves_it_to_the_others() -> None:
    features, evidence, _ = planted()
    nobody = np.zeros(len(features), dtype=bool)
    both = judge(features, evidence, nobody, detector_params(use={"kmeans": 1.0, "confident_learning": 9.0}), seed=0)
    np.testing.assert_array_equal(both.score_N, judged({"kmeans": 1.0}).score_N)


def test_the_mean_is_that_of_the_ranks_by_weight_and_the_heaviest_is_named() -> None:
    ranks = {name: judged({name: 1.0}).outlier_N.astype(float) for name in ("hdbscan", "kmeans")}
    found = judged({"hdbscan": 1.0, "kmeans": 3.0})
    np.testing.assert_allclose(found.score_N, 0.25 * ranks["hdbscan"] + 0.75 * ranks["kmeans"], rtol=1e-5)
    heaviest = np.where(0.75 * ranks["kmeans"] > 0.25 * ranks["hdbscan"], 1, 0)
    np.testing.assert_array_equal(found.detector_N, heaviest)


def test_a_share_of_max_is_a_share_of_the_tag_and_one_of_any_is_what_any_detector_names() -> None:
    use = dict.fromkeys(("hdbscan", "isolation_forest", "confident_learning"), 1.0)
    by_one = [judged({name: 1.0}).outlier_N > 0.9 for name in use]
    np.testing.assert_array_equal(judged(use, "any").outlier_N > 0.9, np.logical_or.reduce(by_one))
    assert (judged(use, "max").outlier_N > 0.9).mean() == pytest.approx(0.1, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["kmeans", "isolation_forest", "confident_learning", "hdbscan"]))
def test_the_order_of_the_rows_does_not_matter(seed: int, name: str) -> None:
    features, evidence, trusted = (values[::5] for values in planted(seed))
    order = np.random.default_rng(seed).permutation(len(features))
    params = detector_params(use={name: 1.0})
    straight = judge(features, evidence, trusted, params, seed=0).score_N
    mixed = judge(features[order], evidence[order], trusted[order], params, seed=0).score_N
    np.testing.assert_allclose(mixed, straight[order], rtol=1e-5)


@pytest.mark.parametrize(
    ("use", "combine", "message"),
    [
        ({"lof": 1.0}, "mean", "unknown detector 'lof'; known: hdbscan, kmeans, isolation_forest, confident_learning"),
        ({"kmeans": 0.0}, "mean", "weights above 0"),
        ({"kmeans": 1.0}, "sum", "combine must be one of mean, max, any, got 'sum'"),
    ],
)
def test_unknown_names_list_the_known_ones(use: dict[str, float], combine: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector_params(use=use, combine=combine)


def test_fewer_regions_than_the_neighbors_of_hdbscan_are_refused() -> None:
    with pytest.raises(ValueError, match=r"points.min_regions must be at least hdbscan.min_samples \+ 2 = 7, got 6"):
        detector_params(points={"min_regions": 6})
