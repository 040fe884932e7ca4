"""Which cleaning removes what is wrong? Every detector alone, the paper's recipe and ours, on workspaces that have run.

python -m benchmarks.cleaning                       # the workspaces of benchmarks/ablation.py
python -m benchmarks.cleaning WORKSPACE ...         # or others, whose labels tell the truth
python -m benchmarks.cleaning --retrain             # and mAP of models retrained after the paper's cleaning and after ours

Only the cleaning runs again, on the stored tags and region features. Prints one table: the share of the rows that went, and
precision, recall and F1 of the removals against the labels, as means over the workspaces. With --retrain, models are trained by
stage retrain as the workspace's own were: on what the paper's rule keeps (of its bars the one with the best F1), and on what ours
keeps with the same hard targets. They stay in the folder `arms` of each workspace.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.tag_arms import mean_ap, retrain_on
from benchmarks.workspaces import mean_and_spread
from ram.data_engine.clean import RuleParams
from ram.data_engine.detectors import DETECTORS
from ram.io.tables import Table, move_into_place
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import LocalEngine
from ram.pipeline.params import stage_params
from ram.stages import clean_tags

ROOT = Path(__file__).resolve().parents[1]
NO_RULES = RuleParams(max_wrong_probability=None, outlier_share=None, min_outlier_score=None, min_region_score=None)
SHARE = dataclasses.replace(NO_RULES, outlier_share=0.1)
INPUTS = [name for name in clean_tags.Inputs._fields if name not in ("scratch", "engine")]

UNCLEANED, PAPER = "generated tags, uncleaned", "paper's rule, hard targets"
OURS_HARD, OURS = "ours, hard targets", "ours, as the recipe has it"
ARMS = (UNCLEANED, PAPER, OURS_HARD, OURS)

Variants = dict[str, clean_tags.Params]


def variants(params: clean_tags.Params) -> dict[str, Variants]:
    """The ways to clean, by name, in groups that ask the same detectors: those need to look only once."""
    detectors = params.detectors
    probability = dataclasses.replace(detectors.hdbscan, score="probability")
    leaf = dataclasses.replace(detectors.hdbscan, selection="leaf")
    asked = {name: dataclasses.replace(detectors, use={name: 1.0}) for name in DETECTORS}
    asked["hdbscan, 1 - probability"] = dataclasses.replace(asked["hdbscan"], hdbscan=probability)
    asked["hdbscan, leaf"] = dataclasses.replace(asked["hdbscan"], hdbscan=leaf)
    without_probe = {name: 1.0 for name in DETECTORS if name != "confident_learning"}
    asked["mean of hdbscan, kmeans, isolation_forest"] = dataclasses.replace(detectors, use=without_probe)
    asked["mean of all four"] = dataclasses.replace(detectors, use=dict.fromkeys(DETECTORS, 1.0))
    groups: dict[str, Variants] = {}
    for name, detector in asked.items():
        mine = dataclasses.replace(params, detectors=detector)
        groups[name] = {f"{name}: 10 %": dataclasses.replace(mine, rules=SHARE)}
        if "confident_learning" not in detector.use:  # the evidence has the probe already
            groups[name][f"evidence, with {name}"] = mine
    kmeans = dataclasses.replace(params, detectors=asked["kmeans"])
    for bar in (0.05, 0.1, 0.2):
        rules = dataclasses.replace(SHARE, min_region_score=bar)
        groups["kmeans"][f"paper: kmeans 10 %, region score < {bar}"] = dataclasses.replace(kmeans, rules=rules)
    issues = dataclasses.replace(NO_RULES, min_outlier_score=0.5)
    groups["confident_learning"]["confident_learning: score >= 0.5"] = dataclasses.replace(
        params, detectors=asked["confident_learning"], rules=issues
    )
    no_weight = dataclasses.replace(params.evidence, outlier_weight=0.0)
    groups["kmeans"]["evidence, with no detector"] = dataclasses.replace(kmeans, evidence=no_weight)
    return groups


def measure(workspace: Path, recipe: Mapping[str, Any]) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The figures of every variant, and the seconds that every group of detectors took."""
    found, seconds = {}, {}
    for group, members in variants(recipe_params(workspace, recipe)).items():
        with tempfile.TemporaryDirectory() as directory:
            start = time.process_time()
            inputs = inputs_of(workspace, Path(directory))
            for number, (name, variant) in enumerate(members.items()):
                found[name] = figures(clean_tags.run(inputs, variant).cleaning_report)
                shutil.rmtree(Path(directory, "cleaned_tags"))  # the witnesses stay for the next
                if number == 0:
                    seconds[group] = time.process_time() - start
    return found, seconds


def recipe_params(workspace: Path, recipe: Mapping[str, Any]) -> clean_tags.Params:
    """The recipe's cleaning, with the workspace's seed."""
    own = yaml.safe_load((workspace / "params.yaml").read_text(encoding="utf-8"))
    return stage_params({**recipe, "seed": own["seed"]}, "clean_tags", clean_tags.Params)


def inputs_of(workspace: Path, scratch: Path) -> clean_tags.Inputs:
    given = {name: read_artifact(artifact(name), workspace) for name in INPUTS}
    return clean_tags.Inputs(**given, scratch=scratch, engine=LocalEngine(1))


def chosen(workspace: Path, recipe: Mapping[str, Any], name: str) -> tuple[clean_tags.Params, clean_tags.Params]:
    """The recipe's cleaning, and the variant of that name."""
    params = recipe_params(workspace, recipe)
    return params, next(members[name] for members in variants(params).values() if name in members)


def figures(report: Mapping[str, Any]) -> dict[str, float]:
    if report["truth"] is None:
        raise ValueError("no labels cover the training images of this workspace; name one of the embedded sample")
    judged = report["truth"]["all"]
    precision, recall = judged["removal_precision"] or 0.0, judged["removal_recall"] or 0.0
    return {
        "removed": judged["num_removed"] / judged["num_rows"],
        "precision": precision,
        "recall": recall,
        "F1": 2 * precision * recall / max(precision + recall, 1e-12),
        "right after": judged["precision_after"],
        "wrong before": judged["num_wrong"] / judged["num_rows"],
    }


def retrained(workspace: Path, params: clean_tags.Params, paper: clean_tags.Params) -> dict[str, float]:
    """mAP of the workspace's retrained models, and of models retrained with hard targets on what is kept."""
    found = {
        UNCLEANED: sole(mean_ap(workspace, workspace / artifact("retrained_uncleaned_model").path)),
        OURS: sole(mean_ap(workspace, workspace / artifact("retrained_model").path)),
    }
    for arm, variant in ((PAPER, paper), (OURS_HARD, params)):
        tags = cleaned(workspace, variant, "paper" if arm == PAPER else "ours")
        model = retrain_on(
            workspace, tags, f"{tags.path.name}_as_hard_targets", ["retrain.training.batch.predicted_target=hard"]
        )
        found[arm] = sole(mean_ap(workspace, model))
    return {arm: found[arm] for arm in ARMS}


def cleaned(workspace: Path, params: clean_tags.Params, name: str) -> Table:
    """What a cleaning makes of the workspace's generated tags, in its folder `arms`."""
    scratch, target = workspace / "arms" / name, workspace / "arms" / f"{name}_tags"
    scratch.mkdir(parents=True, exist_ok=True)
    schema = artifact("cleaned_tags").schema
    assert schema is not None
    move_into_place(clean_tags.run(inputs_of(workspace, scratch), params).cleaned_tags, target)
    shutil.rmtree(scratch)
    return Table(target, schema)


def sole(found: Mapping[str, float]) -> float:
    """mAP of the one benchmark of a workspace."""
    (value,) = found.values()
    return value


def print_retrained(found: Sequence[Mapping[str, float]]) -> None:
    print(f"\n{'mAP after retraining on':52}{'mean':>13}{'deviation':>13}{'to paper':>13}   each")
    for arm in ARMS:
        mean, spread = mean_and_spread([f[arm] for f in found])
        gain = statistics.mean(f[arm] - f[PAPER] for f in found)
        print(f"{arm:52}{mean:13.4f}{spread:13.4f}{gain:+13.4f}   {' '.join(f'{f[arm]:.4f}' for f in found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", type=Path, nargs="*")
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "sample.yaml", help="its section clean_tags")
    parser.add_argument("--retrain", action="store_true", help="retrain on what is kept: minutes a workspace")
    args = parser.parse_args()
    workspaces = args.workspaces or sorted((ROOT / ".state" / "ablation").glob("seed-*"))
    if not workspaces:
        parser.error("no finished workspace; run benchmarks/ablation.py first, or name one")
    recipe = yaml.safe_load(args.recipe.read_text(encoding="utf-8"))
    measured = [measure(workspace, recipe) for workspace in workspaces]
    found = [figures_of for figures_of, _ in measured]
    wrong = [next(iter(f.values()))["wrong before"] for f in found]
    print(f"{args.recipe.stem}, {len(workspaces)} workspaces; wrong before: {' '.join(f'{w:.3f}' for w in wrong)}")
    columns = ("removed", "precision", "recall", "F1", "right after")
    print(f"{'':52}{''.join(f'{c:>13}' for c in columns)}   F1 of each")
    for name in sorted(found[0], key=lambda n: (n.startswith("evidence"), n.startswith("paper"))):
        means = [statistics.mean(f[name][c] for f in found) for c in columns]
        each = " ".join(f"{f[name]['F1']:.3f}" for f in found)
        print(f"{name:52}{''.join(f'{m:13.3f}' for m in means)}   {each}")
    print(f"\n{'CPU seconds to look at all regions and decide':52}")
    for group in measured[0][1]:
        print(f"{group:52}{statistics.mean(seconds[group] for _, seconds in measured):13.1f}")
    if args.retrain:
        papers = [name for name in found[0] if name.startswith("paper")]
        best = max(papers, key=lambda name: statistics.mean(f[name]["F1"] for f in found))
        print(f"\nof the paper's rules: {best}", flush=True)
        print_retrained([retrained(workspace, *chosen(workspace, recipe, best)) for workspace in workspaces])


if __name__ == "__main__":
    main()
