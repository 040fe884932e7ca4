from __future__ import annotations

import json

import numpy as np
import pytest

from ram.evaluation.metrics import NameFacts, decide, summarize


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    positive = generator.random((60, 5)) < 0.3
    positive[:, 4] = False
    return np.clip(positive * 0.3 + generator.random((60, 5)) * 0.7, 0, 1).astype(np.float32), positive


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_decisions_are_scikit_learns(scored, average: str) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    scores, positive = scored
    threshold = np.array([0.2, 0.4, 0.5, 1.1, 0.3])  # the fourth is never predicted, the fifth has no positives
    found = decide(scores, positive, threshold)
    reference = precision_recall_fscore_support(
        positive[:, :4], scores[:, :4] >= threshold[:4], average=average, zero_division=0
    )[:3]
    macro = tuple(np.nanmean(v) for v in (found.precision_K, found.recall_K, found.f1_K))
    assert (macro if average == "macro" else found.micro) == pytest.approx(reference)
    assert np.isnan([found.precision_K[4], found.recall_K[4], found.f1_K[4]]).all()


def test_the_summary_splits_by_group_and_counts_names_without_positives(scored) -> None:
    scores, positive = scored
    facts = NameFacts(
        names=list("abcde"),
        seen=np.array([True, True, False, False, True]),
        in_label_system=np.array([True, True, True, False, False]),
        held_out=np.array([False] * 5),
        kinds=["object", "object", "scene", "scene", "action"],
    )
    summary, per_name = summarize(scores, positive, facts, np.full(5, 0.5), num_bootstrap=20, seed=0)
    ap = per_name["average_precision"]
    assert summary["mAP"] == pytest.approx(ap[:4].mean())
    assert summary["mAP_seen"] == pytest.approx(ap[:2].mean())
    assert summary["mAP_unseen"] == pytest.approx(ap[2:4].mean())
    assert summary["mAP_not_in_label_system"] == pytest.approx(ap[3])
    assert summary["mAP_held_out"] is None
    assert summary["per_kind"]["scene"] == {"mAP": pytest.approx(ap[2:4].mean()), "num_tags": 2}
    assert summary["per_kind"]["action"] == {"mAP": None, "num_tags": 0}
    assert summary["num_tags_without_positives"] == 1
    assert summary["chance_mAP"] == pytest.approx(positive[:, :4].mean())
    json.dumps(summary, allow_nan=False)
