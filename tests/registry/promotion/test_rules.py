from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ram.registry.promotion import Candidate, PromotionParams, judge
from ram.registry.promotion.evidence import evaluation_sets
from ram.registry.promotion.paired import Change, Comparison

PARAMS = PromotionParams(benchmark="coco", min_value=0.3, min_gain=0.01, max_drop={"rare/mAP": 0.02})
SETS = {"coco": "x", "rare": "y"}


def _candidate(version: str, coco: float, rare: float = 0.5) -> Candidate:
    return Candidate(version=version, metrics={"coco/mAP": coco, "rare/mAP": rare}, evaluation_sets=SETS)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_who_passes_is_better_by_the_gain_above_the_minimum_and_has_not_fallen(
    coco: float, rare: float, champion_coco: float, champion_rare: float
) -> None:
    findings = judge(_candidate("2", coco, rare), _candidate("1", champion_coco, champion_rare), PARAMS)
    wanted = coco >= 0.3 and coco - champion_coco >= 0.01 and champion_rare - rare <= 0.02
    assert all(finding.passed for finding in findings) == wanted


def test_what_was_not_measured_does_not_pass() -> None:
    empty = Candidate(version="2", metrics={}, evaluation_sets={})
    failed = [finding.rule for finding in judge(empty, _candidate("1", 0.5), PARAMS) if not finding.passed]
    assert failed == [
        "minimum coco/mAP",
        "same evaluation on coco",
        "same evaluation on rare",
        "better coco/mAP",
        "rare/mAP does not fall",
    ]


def _failed(
    challenger: Candidate, champion: Candidate | None, comparison: object = None, **parameters: object
) -> list[str]:
    params = PromotionParams(benchmark="coco", min_value=0.3, **parameters)  # type: ignore[arg-type]
    findings = judge(challenger, champion, params, comparison)  # type: ignore[arg-type]
    return [finding.rule for finding in findings if not finding.passed]


def test_a_budget_is_kept_at_its_limit_and_broken_above_it_and_by_what_was_not_measured() -> None:
    budgets = {"max_latency_ms": 20.0, "max_size_mib": 50.0, "max_calibration_error": 0.05}
    fits = dataclasses.replace(_candidate("1", 0.5), latency_ms=20.0, size_mib=50.0, calibration_error={"coco": 0.05})
    assert _failed(fits, None, **budgets) == []
    over = dataclasses.replace(fits, latency_ms=20.1, size_mib=50.1, calibration_error={"coco": 0.06})
    for broken in (over, _candidate("1", 0.5)):
        assert _failed(broken, None, **budgets) == ["calibration error", "latency", "size"]
        assert _failed(broken, None) == []


def test_a_failed_check_and_no_check_at_all_stop_a_promotion_where_checks_are_required() -> None:
    for checks, failed in (
        ({"pairs": True}, []),
        ({"pairs": True, "tags": False}, ["data checks"]),
        (None, ["data checks"]),
    ):
        assert _failed(dataclasses.replace(_candidate("1", 0.5), checks=checks), None, require_checks=True) == failed


def test_a_fall_counts_where_it_is_over_the_margin_and_no_chance() -> None:
    sure, by_chance = Change(0.8, 0.6, high=-0.1), Change(0.8, 0.6, high=0.05)
    for change, kinds, tags in ((sure, True, True), (by_chance, False, False)):
        comparison = Comparison(0.1, 0.05, 1.0, 100, kinds={"object": change}, tags={"dog": change})
        failed = _failed(_candidate("2", 0.6), _candidate("1", 0.5), comparison, max_kind_drop=0.1, max_tag_drop=0.1)
        assert ("no kind worse" in failed, "no frequent tag worse" in failed) == (kinds, tags)
        allowed = {"max_kind_drop": 0.3, "max_tag_drop": 0.3}
        assert _failed(_candidate("2", 0.6), _candidate("1", 0.5), comparison, **allowed) == []


def test_rules_that_need_both_models_scores_fail_with_the_reason_where_there_are_none() -> None:
    findings = judge(
        _candidate("2", 0.6),
        _candidate("1", 0.5),
        PromotionParams(benchmark="coco", min_value=0.3, confidence=0.9, max_kind_drop=0.1, max_tag_drop=0.1),
        "version 1 has no test scores",
    )
    failed = {finding.rule: finding.detail for finding in findings if not finding.passed}
    assert failed == dict.fromkeys(
        ("better with confidence 0.9", "no kind worse", "no frequent tag worse"), "version 1 has no test scores"
    )


def test_the_shadow_run_must_be_against_the_champion_of_now() -> None:
    for shadow, failed in (
        (None, True),
        ({"champion": "0", "agreement": 1.0, "num_images": 9}, True),
        ({"champion": "1", "agreement": 0.6, "num_images": 9}, True),
        ({"champion": "1", "agreement": 0.7, "num_images": 9}, False),
    ):
        challenger = dataclasses.replace(_candidate("2", 0.6), shadow=shadow)
        assert ("shadow agreement" in _failed(challenger, _candidate("1", 0.5), min_shadow_agreement=0.7)) == failed


@pytest.mark.parametrize(
    "parameters",
    [
        {"min_gain": -1.0},
        {"max_drop": {"mAP": 0.1}},
        {"max_drop": {"a/b": -0.1}},
        {"confidence": 0.4},
        {"max_kind_drop": -0.1},
        {"num_bootstrap": 5},
    ],
)
def test_a_param_that_makes_no_sense_is_refused(parameters: dict) -> None:
    with pytest.raises(ValueError, match="at least"):
        PromotionParams(benchmark="coco", min_value=0.3, **parameters)


def test_only_the_test_images_their_labels_and_the_way_they_are_scored_make_another_evaluation(
    finished_workspace: Callable[..., Path],
) -> None:
    workspace = finished_workspace()
    before = evaluation_sets(workspace)
    assert evaluation_sets(finished_workspace(weights=b"another model")) == before
    assert evaluation_sets(finished_workspace(test_images=4)) != before
    finished_workspace()
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    (workspace / "params.yaml").write_text(yaml.safe_dump({**params, "evaluate": {"use_children": "always"}}))
    assert evaluation_sets(workspace) != before
