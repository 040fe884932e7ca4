from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ram.promotion import Candidate, PromotionParams, evaluation_sets, judge

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


@pytest.mark.parametrize("knobs", [{"min_gain": -1.0}, {"max_drop": {"mAP": 0.1}}, {"max_drop": {"a/b": -0.1}}])
def test_a_knob_that_makes_no_sense_is_refused(knobs: dict) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        PromotionParams(benchmark="coco", min_value=0.3, **knobs)


def test_only_the_test_pictures_their_labels_and_the_way_they_are_scored_make_another_evaluation(
    finished_workspace: Callable[..., Path],
) -> None:
    workspace = finished_workspace()
    before = evaluation_sets(workspace)
    assert evaluation_sets(finished_workspace(weights=b"another model")) == before
    assert evaluation_sets(finished_workspace(test_pictures=4)) != before
    finished_workspace()
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    (workspace / "params.yaml").write_text(yaml.safe_dump({**params, "evaluate": {"use_children": "always"}}))
    assert evaluation_sets(workspace) != before
