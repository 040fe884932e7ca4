"""What the data engine is worth: the sample recipe with several seeds, each in a workspace of its own, and the means.

Prints one table: mAP of every model on the evaluation split, precision and recall of the cleaning, mAP of the unseen tags
against chance. Every seed draws its own world, noise included. Finished stages are kept: a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks.workspaces import ROOT, machine, mean_and_spread, open_workspace, run_stages, stages, with_seed
from ram.io.tables import Table
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml


def run_seed(seed: int, recipe: Path, workspace: Path) -> None:
    open_workspace(workspace, with_seed(load_yaml(recipe), seed))
    run_stages(workspace, stages())


def figures(workspace: Path) -> dict[str, float]:
    """The figures of one finished workspace, by name."""
    evaluation = json.loads((workspace / "reports" / "evaluate.json").read_text())
    cleaning = json.loads((workspace / "reports" / "cleaning.json").read_text())["truth"]["all"]
    tags = Table(workspace / "data" / "per_tag_metrics", artifact("per_tag_metrics").schema).to_pandas()
    found: dict[str, float] = {}
    for model, benchmarks in evaluation.items():
        result = benchmarks["sample_world"]
        found[f"mAP, {model}"] = result["mAP"]
        found[f"mAP of unseen tags, {model}"] = result["mAP_unseen"]
        unseen = tags[(tags["model"] == model) & ~tags["seen"] & (tags["num_positives"] > 0)]
        chance = unseen["num_positives"].mean() / result["num_images"]  # a random order's expected average precision
        found[f"mAP of unseen tags / chance, {model}"] = result["mAP_unseen"] / chance
    found["retrained - preliminary"] = found["mAP, retrained"] - found["mAP, preliminary"]
    found["cleaning: precision of removals"] = cleaning["removal_precision"]
    found["cleaning: recall of wrong rows"] = cleaning["removal_recall"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "sample.yaml")
    parser.add_argument("--workspace", type=Path, default=ROOT / ".state" / "ablation")
    args = parser.parse_args()
    start = time.monotonic()
    for seed in args.seeds:
        run_seed(seed, args.recipe.resolve(), args.workspace.resolve() / f"seed-{seed}")
    rows = [figures(args.workspace.resolve() / f"seed-{seed}") for seed in args.seeds]
    print(f"{args.recipe.stem}, seeds {args.seeds}, {machine()}, {time.monotonic() - start:.0f} s")
    for name in rows[0]:
        values = [row[name] for row in rows]
        mean, spread = mean_and_spread(values)
        print(f"{name:45} {mean:7.3f} ± {spread:.3f}   {'  '.join(f'{v:.3f}' for v in values)}")


if __name__ == "__main__":
    main()
