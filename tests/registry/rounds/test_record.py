from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ram.io.tables import Table, read_json, write_json, write_table
from ram.model.checkpoint import checkpoint_version
from ram.pipeline.catalog import artifact
from ram.registry.rounds import RoundParams, note_round, read_rounds
from ram.registry.rounds.page import PAGE_PATH
from ram.registry.rounds.record import reason_to_stop
from ram.validation.data_docs import external_references

ALWAYS = RoundParams(min_tag_change=None, min_gain=None)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def workspace(drawn_workspace: Path, tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    shutil.copytree(drawn_workspace, root)
    shutil.copyfile(ROOT / "recipes" / "sample.yaml", root / "params.yaml")
    evaluation = {"retrained": {"drawn": {"mAP": 0.4}}, "finetuned": {"drawn": {"mAP": 0.5}}}
    write_json(evaluation, root / artifact("evaluation").path)
    write_json({"truth": {"all": {"precision_after": 0.75}}}, root / artifact("cleaning_report").path)
    return root


def keep_all(workspace: Path) -> int:
    """Keep what had been removed; how many rows that were."""
    entry = artifact("cleaned_tags")
    assert entry.schema is not None
    rows = Table(workspace / entry.path, entry.schema).to_pandas()
    removed = int((~rows["kept"]).sum())
    shutil.rmtree(workspace / entry.path)
    write_table(rows.assign(kept=True, reason=None), workspace / entry.path, entry.schema)
    return removed


def test_a_round_is_noted_with_its_funnel_its_generator_and_its_metrics(workspace: Path) -> None:
    noted = note_round(workspace, 1, ALWAYS)
    assert read_rounds(workspace) == [noted]
    steps = {step["name"]: step for step in noted["funnel"]["steps"]}
    assert steps["generated"]["total"] == 24 * 2 + 12 * 2
    assert steps["cleaned"]["total"] + steps["cleaned"]["removed"] == steps["generated"]["total"]
    assert noted["checkpoint"] == "preliminary"
    assert noted["generator_version"] == checkpoint_version(workspace / artifact("generator_model").path)
    assert noted["dev_mAP"] == 0.5  # the last of the curve
    assert noted["mAP"]["finetuned"] == {"drawn": 0.5}
    assert (noted["tag_change"], noted["gain"], noted["stop"]) == (None, None, None)


def test_the_next_round_is_compared_with_it_and_a_round_noted_again_forgets_what_came_after(workspace: Path) -> None:
    first = note_round(workspace, 1, ALWAYS)
    num_kept = {step["name"]: step["total"] for step in first["funnel"]["steps"]}["cleaned"]
    removed = keep_all(workspace)
    curves = pd.read_csv(workspace / artifact("retrained_curves").path)
    curves.loc[curves["split"] == "dev", "value"] += 0.25
    curves.to_csv(workspace / artifact("retrained_curves").path, index=False)
    second = note_round(workspace, 2, ALWAYS)
    assert second["tag_change"] == pytest.approx(removed / (num_kept + removed))
    assert second["gain"] == pytest.approx(0.25)
    assert [r["round"] for r in read_rounds(workspace)] == [1, 2]
    page = (workspace / PAGE_PATH).read_text()
    assert f"{second['tag_change']:.1%}" in page
    assert not external_references(page)
    third = note_round(workspace, 3, RoundParams(min_tag_change=0.01, min_gain=None))
    assert third["tag_change"] == 0
    assert third["stop"] is not None
    assert third["stop"] in (workspace / PAGE_PATH).read_text()
    note_round(workspace, 2, ALWAYS)
    assert [r["round"] for r in read_json(workspace / "reports" / "rounds.json")["rounds"]] == [1, 2]


@pytest.mark.parametrize(
    ("change", "gain", "expected"),
    [
        (None, None, None),
        (0.05, 0.01, None),
        (0.01, 0.01, "1.00% of the kept tags changed, less than 2.00%"),
        (0.05, -0.001, "mAP on dev changed by -0.0010, less than +0.0020"),
    ],
)
def test_a_round_that_changes_too_little_is_the_last(
    change: float | None, gain: float | None, expected: str | None
) -> None:
    noted = {"tag_change": change, "gain": gain}
    reason = reason_to_stop(noted, RoundParams(min_tag_change=0.02, min_gain=0.002))
    assert reason is None if expected is None else str(reason).startswith(expected)
    assert reason_to_stop(noted, ALWAYS) is None


def test_rounds_of_a_recipe_are_read_with_their_bounds() -> None:
    assert RoundParams(**yaml.safe_load((ROOT / "params.yaml").read_text())["rounds"]).min_tag_change == 0.02
    with pytest.raises(ValueError, match="min_tag_change must be in"):
        RoundParams(min_tag_change=2.0, min_gain=None)
    with pytest.raises(ValueError, match="min_gain must be in"):
        RoundParams(min_tag_change=None, min_gain=2.0)
