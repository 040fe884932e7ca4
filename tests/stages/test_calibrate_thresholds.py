from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ram.io.tables import Table
from ram.pipeline.artifacts import read_artifact
from ram.stages import stage_call
from ram.stages.calibrate_thresholds import Inputs, Outputs, Params, run

PARAMS: dict[str, Any] = {
    "target": "f1", "min_precision": 0.5, "prior_positives": 5.0, "min_kind_positives": 1,
    "min_open_set_positives": 1000,
    "open_set_factor": 0.8, "calibration": "platt",
}  # fmt: skip


def inputs_of(workspace: Path) -> Inputs:
    call = stage_call("calibrate_thresholds")
    return Inputs(**{field: read_artifact(entry, workspace) for field, entry in call.inputs().items()})


@pytest.fixture(scope="module")
def outputs(drawn_workspace: Path) -> Outputs:
    return run(inputs_of(drawn_workspace), Params(**PARAMS))


def test_every_labeled_tag_has_a_threshold_and_its_support(outputs: Outputs) -> None:
    found = outputs.thresholds
    assert (
        set(found["tags"]) == {"ball", "box", "tree", "toy", "red", "blue", "green", "hexagon"} == set(found["support"])
    )
    assert all(0 < value < 1 for value in found["tags"].values())
    assert found["support"]["hexagon"] == 0
    assert found["support"]["ball"] == 6
    json.dumps(found, allow_nan=False)


def test_names_that_were_not_trained_on_have_the_open_set_threshold(outputs: Outputs) -> None:
    found = outputs.thresholds
    assert found["untrained"] == ["box", "green"]
    assert found["tags"]["box"] == found["open_set"] == pytest.approx(0.8 * found["default"])


def test_the_tagger_reads_them(outputs: Outputs) -> None:
    from ram.inference.tagger import Thresholds

    thresholds = Thresholds.from_json(outputs.thresholds)
    assert thresholds.of(None) == outputs.thresholds["open_set"]


def test_calibrated_scores_are_nearer_to_the_truth(outputs: Outputs) -> None:
    found = outputs.thresholds
    assert found["temperature"] > 0
    assert found["ece_after"] < found["ece_before"]


def test_enough_untrained_labels_choose_the_open_set_threshold_themselves(drawn_workspace: Path) -> None:
    found = run(inputs_of(drawn_workspace), Params(**PARAMS | {"min_open_set_positives": 1})).thresholds
    assert found["open_set"] != pytest.approx(0.8 * found["default"])


def test_no_labels_on_dev_are_refused(drawn_workspace: Path) -> None:
    inputs = inputs_of(drawn_workspace)
    empty = Table(inputs.labels.path, inputs.labels.schema)
    empty.part_paths = []
    with pytest.raises(ValueError, match="no image of split dev has a label"):
        run(inputs._replace(labels=empty), Params(**PARAMS))


@pytest.mark.parametrize("parameter", ["min_precision", "prior_positives", "open_set_factor"])
def test_params_out_of_range_are_refused(parameter: str) -> None:
    with pytest.raises(ValueError, match=parameter):
        Params(**PARAMS | {parameter: -1.0})
