from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from ram.evaluation import columns as module
from ram.evaluation.average_precision import average_precisions
from ram.evaluation.columns import POSITIVE, UNKNOWN, resample, tag_metrics, targets_of

# Few distinct scores, so that most of them tie.
TIED = hnp.arrays(np.float32, (17, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
TARGETS = hnp.arrays(np.int8, (17, 4), elements=st.sampled_from([0, 1]))
PARTLY_KNOWN = hnp.arrays(np.int8, (17, 4), elements=st.sampled_from([0, 0, 1, -1]))
HALF = np.full(4, 0.5)


def sample(num: int, num_tags: int, seed: int = 0, share: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    positive = generator.random((num, num_tags)) < share
    scores = generator.random((num, num_tags)) * 0.7 + positive * 0.3
    return scores.astype(np.float32).round(2), positive


@settings(deadline=None, max_examples=60)
@given(TIED, TARGETS)
def test_it_is_scikit_learns_with_ties(scores: np.ndarray, target: np.ndarray) -> None:
    found = tag_metrics(scores, targets_of(target), HALF)
    for k in range(4):
        if target[:, k].any():
            assert found.average_precision[k] == pytest.approx(average_precision_score(target[:, k], scores[:, k]))
        else:
            assert np.isnan(found.average_precision[k])
    judged = target.any(axis=0)
    if judged.any():
        micro = average_precision_score(target[:, judged], scores[:, judged], average="micro")
        assert found.micro_average_precision == pytest.approx(micro)
    else:
        assert found.micro_average_precision is None


@settings(deadline=None, max_examples=60)
@given(TIED, PARTLY_KNOWN)
def test_unknown_labels_count_nowhere(scores: np.ndarray, target: np.ndarray) -> None:
    found = tag_metrics(scores, targets_of(target), HALF)
    pairs = []
    for k in range(4):
        known = target[:, k] != UNKNOWN
        own, said = target[known, k] == POSITIVE, scores[known, k]
        assert (found.num_known[k], found.num_positives[k]) == (known.sum(), own.sum())
        if own.any():
            pairs.append((own, said))
            assert found.average_precision[k] == pytest.approx(average_precision_score(own, said))
            reference = precision_recall_fscore_support(own, said >= 0.5, average="binary", zero_division=0)
            assert (found.precision[k], found.recall[k], found.f1[k]) == pytest.approx(reference[:3])
    if pairs:
        own, said = (np.concatenate(part) for part in zip(*pairs, strict=True))
        assert found.micro_average_precision == pytest.approx(average_precision_score(own, said))
        assert found.micro_f1 == pytest.approx(f1_score(own, said >= 0.5, zero_division=0))


@pytest.mark.parametrize("share", [0.002, 0.1, 0.6])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_counted_and_sorted_columns_of_any_type_are_scikit_learns(share: float, dtype: type) -> None:
    scores, positive = sample(700, 9, share=share)
    scores = scores.astype(dtype)
    found = tag_metrics(scores, targets_of(positive), np.full(9, 0.5))
    for k in np.flatnonzero(positive.any(axis=0)):
        assert found.average_precision[k] == pytest.approx(average_precision_score(positive[:, k], scores[:, k]))


def test_it_is_that_of_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multilabel_average_precision, multilabel_f1_score

    scores, positive = sample(300, 8, share=0.2)
    found = tag_metrics(scores, targets_of(positive), np.full(8, 0.45))
    tensors = torch.tensor(scores), torch.tensor(positive).long()
    for average in ("macro", "micro"):
        reference = float(multilabel_average_precision(*tensors, num_labels=8, average=average))
        own = found.micro_average_precision if average == "micro" else np.nanmean(found.average_precision)
        assert own == pytest.approx(reference, abs=1e-5)
    f1 = multilabel_f1_score(*tensors, num_labels=8, threshold=0.45, average="none")
    # torchmetrics says yes above the threshold only; no score is equal to it, in float32
    np.testing.assert_allclose(found.f1, f1.numpy(), atol=1e-6)


def test_a_score_equal_to_the_threshold_is_a_yes() -> None:
    found = tag_metrics(np.array([[0.5], [0.4]]), targets_of(np.array([[True], [False]])), np.array([0.5]))
    assert (found.num_predicted[0], found.precision[0], found.recall[0]) == (1, 1.0, 1.0)


@pytest.mark.parametrize("cells", [1, 40, 95])
def test_blocks_of_any_size_have_the_same_values(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, positive = sample(40, 9, share=0.3)
    whole = tag_metrics(scores, targets_of(positive), np.full(9, 0.5))
    draws = resample(scores, targets_of(positive), np.full(9, 0.5), 4, 1)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", cells)
    parts = tag_metrics(scores, targets_of(positive), np.full(9, 0.5))
    for name in whole.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name), err_msg=name)
    again = resample(scores, targets_of(positive), np.full(9, 0.5), 4, 1)
    for name in draws.__dataclass_fields__:
        np.testing.assert_allclose(getattr(draws, name), getattr(again, name), err_msg=name)


def test_a_memory_map_is_read_and_not_changed(tmp_path: Path) -> None:
    scores, positive = sample(60, 5, share=0.3)
    np.save(tmp_path / "scores.npy", scores.astype(np.float16))
    mapped = np.load(tmp_path / "scores.npy", mmap_mode="r")
    found = tag_metrics(mapped, targets_of(positive), np.full(5, 0.5))
    again = tag_metrics(np.load(tmp_path / "scores.npy"), targets_of(positive), np.full(5, 0.5))
    np.testing.assert_array_equal(found.average_precision, again.average_precision)
    np.testing.assert_array_equal(mapped, scores.astype(np.float16))
    assert found.micro_average_precision == again.micro_average_precision


def test_scores_in_memory_stay_as_they_are() -> None:
    # one tag: its block, transposed, would be the caller's own memory
    scores, positive = sample(50, 1, share=0.3)
    before = scores.copy()
    tag_metrics(scores, targets_of(positive), np.full(1, 0.5))
    np.testing.assert_array_equal(scores, before)


@settings(deadline=None, max_examples=50)
@given(TIED, TARGETS, st.integers(0, 1000))
def test_a_resample_is_the_metric_of_the_drawn_images(scores: np.ndarray, target: np.ndarray, seed: int) -> None:
    found = resample(scores, targets_of(target), HALF, 2, seed)
    generator = np.random.default_rng(seed)
    judged = target.any(axis=0)
    for draw in range(2):
        chosen = generator.integers(17, size=17)
        again = tag_metrics(scores[chosen], targets_of(target[chosen]), HALF)
        np.testing.assert_allclose(found.average_precision[draw], again.average_precision)
        np.testing.assert_allclose(found.f1[draw], again.f1)
        if judged.any():
            both = target[chosen][:, judged] == 1, scores[chosen][:, judged] >= 0.5
            assert found.micro_f1[draw] == pytest.approx(f1_score(*(x.ravel() for x in both), zero_division=0))


def test_resamples_are_those_of_the_evaluate_stage() -> None:
    scores, positive = sample(50, 6, share=0.3)
    _, reference = average_precisions(scores, positive, num_bootstrap=5, seed=3)
    found = resample(scores, targets_of(positive), np.full(6, 0.5), 5, 3)
    np.testing.assert_allclose(found.average_precision, reference)


@settings(deadline=None, max_examples=30)
@given(TIED, PARTLY_KNOWN, st.integers(0, 1000))
def test_resamples_leave_unknown_labels_out(scores: np.ndarray, target: np.ndarray, seed: int) -> None:
    found = resample(scores, targets_of(target), HALF, 1, seed)
    chosen = np.random.default_rng(seed).integers(17, size=17)
    again = tag_metrics(scores[chosen], targets_of(target[chosen]), HALF)
    np.testing.assert_allclose(found.average_precision[0], again.average_precision)
    np.testing.assert_allclose(found.f1[0], again.f1)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 scores are NaN"):
        tag_metrics(np.array([[np.nan], [0.1]]), targets_of(np.array([[True], [False]])), np.array([0.5]))


def test_without_images_or_positives_there_is_no_value() -> None:
    for scores in (np.zeros((0, 2)), np.zeros((3, 2))):
        found = tag_metrics(scores, targets_of(np.zeros(scores.shape, bool)), np.full(2, 0.5))
        assert np.isnan(found.average_precision).all()
        assert found.micro_average_precision is found.micro_f1 is None
        assert np.isnan(resample(scores, targets_of(np.zeros(scores.shape, bool)), np.full(2, 0.5), 2, 0).f1).all()
