from __future__ import annotations

from pathlib import Path

import pytest

from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.stages import stage_call
from ram.stages.compare_tags import Inputs, Params, run

PARAMS = Params(max_inflation=10.0, num_paired_tags=5, min_pair_images=1, num_shown=5)


def test_only_train_images_are_counted(drawn_workspace: Path) -> None:
    entries = stage_call("compare_tags").inputs()
    report = run(Inputs(**{f: read_artifact(e, drawn_workspace) for f, e in entries.items()}), PARAMS).balance
    assert report["num_images"] == 24
    assert [report["steps"][step]["num_rows"] for step in ("parsed", "generated", "cleaned")] == [48, 72, 56]
    # Every second image got a roll and a toy; of these every third kept them.
    assert {name: c["num"] for name, c in report["changed_images"].items()} == {
        "generation": 12,
        "cleaning": 8,
        "both": 4,
    }
    assert [row["name"] for row in report["inflated"]] == ["toy", "roll"]


def test_the_report_is_json_without_holes(drawn_workspace: Path, tmp_path: Path) -> None:
    from ram.io.tables import write_json

    inputs = Inputs(**{f: read_artifact(e, drawn_workspace) for f, e in stage_call("compare_tags").inputs().items()})
    inputs.generated_tags.part_paths, inputs.cleaned_tags.part_paths = [], []
    report = run(inputs, PARAMS).balance
    write_json(report, tmp_path / artifact("balance").path.name)
    assert report["steps"]["cleaned"]["num_rows"] == 0


def test_a_limit_that_every_tag_exceeds_is_refused() -> None:
    with pytest.raises(ValueError, match="max_inflation must be above 1, got 1"):
        Params(max_inflation=1, num_paired_tags=5, min_pair_images=1, num_shown=5)
