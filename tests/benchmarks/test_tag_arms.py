from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import tag_sets
from benchmarks.tag_arms import mean_ap, retrain_on, said_tags, with_params
from ram.model.checkpoint import checkpoint_version
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(drawn_workspace: Path, tmp_path: Path, recipe: dict[str, Any]) -> Path:
    root = tmp_path / "workspace"
    shutil.copytree(drawn_workspace, root)
    (root / "params.yaml").write_text(yaml.safe_dump(recipe))
    return root


def test_params_of_the_command_line_change_the_recipe_and_unknown_ones_are_refused() -> None:
    recipe = load_yaml(ROOT / "recipes" / "flickr8k.yaml")
    changed = with_params(
        recipe, ["retrain.training.epochs=8", "clean_tags.rules.max_wrong_probability=null", "seed=4"]
    )
    assert changed["retrain"]["training"]["epochs"] == 8
    assert changed["clean_tags"]["rules"]["max_wrong_probability"] is None
    assert changed["seed"] == 4
    assert recipe["retrain"]["training"]["epochs"] != 8
    for parameter in ("retrain.training.epoch=8", "nothing.at.all=1", "seed", "seed.more=1"):
        with pytest.raises(ValueError, match="is no parameter of the recipe"):
            with_params(recipe, [parameter])


def test_the_parsed_arm_has_what_captions_say_and_its_model_is_another_one(workspace: Path) -> None:
    everything = read_artifact(artifact("generated_tags"), workspace)
    said = said_tags(workspace)
    rows = everything.to_pandas()
    assert len(said.to_pandas()) == (rows["origin"] == "caption").sum() < len(rows)
    models = {name: retrain_on(workspace, tags, name) for name, tags in (("parsed", said), ("generated", everything))}
    assert len({checkpoint_version(model) for model in models.values()}) == 2
    before = checkpoint_version(models["parsed"])
    assert checkpoint_version(retrain_on(workspace, said, "parsed")) == before  # made once
    found = {name: mean_ap(workspace, model) for name, model in models.items()}
    assert 0 < found["parsed"]["drawn"] <= 1
    assert mean_ap(workspace, models["parsed"]) == found["parsed"]
    kept = models["parsed"].with_name("model.mAP.json")
    kept.write_text(kept.read_text().replace(before, "another"))  # as beside a model that has been trained anew
    assert mean_ap(workspace, models["parsed"]) == found["parsed"]
    assert before in kept.read_text()


def test_the_table_shows_every_arm_its_step_in_the_same_seed_and_the_sets(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        {arm: {"coco": value} for arm, value in zip(tag_sets.ARMS, values, strict=True)}
        for values in ((0.1, 0.2, 0.3, 0.4, 0.5), (0.2, 0.2, 0.4, 0.4, 0.6))
    ]
    cleaning = {"by_origin": {"predicted": {"num_rows": 1200, "num_kept": 900}}, "truth": None}
    tag_sets.print_table(found, [tag_sets.sets_of(cleaning)] * 2)
    lines = capsys.readouterr().out.splitlines()
    generated = next(line for line in lines if line.startswith("+ generated"))
    assert "0.3500 ± 0.0707" in generated
    assert "+0.1500 ± 0.0707" in generated
    assert lines[-1].split("   ")[-1] == "1,200, 900"
