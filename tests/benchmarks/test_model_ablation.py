from __future__ import annotations

import copy
from pathlib import Path

import pytest

from benchmarks import model_ablation as benchmark
from benchmarks.workspaces import ROOT, draws_its_data, mean_and_spread, open_workspace, with_seed
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import pretrain

RECIPES = ("sample", "flickr8k")


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("variant", benchmark.VARIANTS, ids=lambda v: v.key)
def test_a_variant_has_its_own_parts_and_no_others(recipe: str, variant: benchmark.Variant) -> None:
    sections = load_yaml(ROOT / "recipes" / f"{recipe}.yaml")
    before = copy.deepcopy(sections)
    params = stage_params(variant.applied(sections), "pretrain", pretrain.Params)
    loss = params.training.loss
    assert sections == before, "the recipe itself is not changed"
    assert params.model.tag_queries == variant.queries
    assert (params.model.caption is not None) == (loss.caption_weight > 0) == variant.captioning
    assert params.model.text_alignment == (loss.alignment_weight > 0) == variant.distillation


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_variant_with_every_part_is_the_recipe(recipe: str) -> None:
    sections = load_yaml(ROOT / "recipes" / f"{recipe}.yaml")
    expected = stage_params(sections, "pretrain", pretrain.Params)
    assert stage_params(benchmark.VARIANTS[-1].applied(sections), "pretrain", pretrain.Params) == expected


@pytest.mark.parametrize(
    ("key", "what"), [("textual_captioning", "caption_weight"), ("distillation", "alignment_weight")]
)
def test_a_recipe_without_a_part_cannot_show_what_it_is_worth(key: str, what: str) -> None:
    sections = load_yaml(ROOT / "recipes" / "sample.yaml")
    sections["pretrain"]["training"]["loss"][what] = 0.0
    variant = next(v for v in benchmark.VARIANTS if v.key == key)
    with pytest.raises(ValueError, match=what):
        variant.applied(sections)


def test_the_table_has_means_and_says_what_is_not_possible_and_what_has_not_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def result(trained: float, unseen: float | None) -> dict:
        groups = {"trained": trained, "unseen": unseen}
        facts = {name: None if v is None else {"mAP": v, "chance_mAP": 0.125} for name, v in groups.items()}
        return {"drawn": {"num_images": 9, **facts}}

    benchmark.print_tables(
        {
            "learned": {1: result(0.5, None)},
            "textual": {2: result(0.25, 0.5), 1: result(0.75, 0.25)},
        }
    )
    lines = {line.split("|")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")}
    assert "| 0.500 ± 0.000 | 0.500 | not possible |" in lines["learned queries, tagging only"]
    assert "| 0.500 ± 0.354 | 0.750, 0.250 | 0.375 ± 0.177 | 0.250, 0.500 |" in lines["textual queries, tagging only"]
    assert "not run" in lines["textual queries + captioning (RAM)"]
    assert "| 0.125 | | 0.125 | |" in lines["random scores"]


def test_the_seed_reaches_the_drawn_world_and_only_that_depends_on_it() -> None:
    sample, flickr = (load_yaml(ROOT / "recipes" / f"{name}.yaml") for name in RECIPES)
    changed = with_seed(sample, 7)
    assert (changed["seed"], changed["list_sources"]["sources"][0]["seed"], sample["seed"]) == (7, 7, 1)
    assert draws_its_data(sample)
    assert not draws_its_data(flickr)
    assert with_seed(flickr, 7)["list_sources"] == flickr["list_sources"]


def test_a_workspace_of_other_params_is_refused(tmp_path: Path) -> None:
    open_workspace(tmp_path / "a", {"seed": 1})
    open_workspace(tmp_path / "a", {"seed": 1})
    with pytest.raises(ValueError, match="other params"):
        open_workspace(tmp_path / "a", {"seed": 2})


def test_the_deviation_of_a_single_seed_is_0_and_of_several_that_of_a_sample() -> None:
    assert mean_and_spread([0.5]) == (0.5, 0.0)
    assert mean_and_spread([1.0, 3.0]) == pytest.approx((2.0, 2**0.5))
