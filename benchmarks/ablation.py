"""What the data engine is worth: the sample recipe with several seeds, each in a workspace of its own, and the means.

Prints one table: mAP of every model on the evaluation split, precision and recall of the cleaning, mAP of the unseen tags
against chance. Every seed draws its own world, noise included. Finished stages are kept: a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

from ram.catalog import artifact
from ram.storage import Table

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = {"calibrate_thresholds", "report"}  # say nothing about the ablation


def stages() -> list[str]:
    """The stages in the order of dvc.yaml such that each comes after what it reads."""
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--dry", "--force"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [line.split("'")[1] for line in listed.splitlines() if line.startswith("Running stage '")]


def run_seed(seed: int, recipe: Path, workspace: Path) -> None:
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "data").mkdir(exist_ok=True)
    for folder in ("vocabularies", "reviews"):
        shutil.copytree(ROOT / "data" / folder, workspace / "data" / folder, dirs_exist_ok=True)
    params = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    params["seed"] = seed
    for source in params["list_sources"]["sources"]:
        if source["kind"] == "sample_world":
            source["seed"] = seed
    (workspace / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = workspace / "done"
    finished = done.read_text().split() if done.is_file() else []
    for stage in stages():
        if stage not in finished:
            subprocess.run([sys.executable, "-m", "ram", "stage", stage], cwd=workspace, env=environment, check=True)
            with done.open("a") as stream:
                stream.write(f"{stage}\n")


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
    print(
        f"{args.recipe.stem}, seeds {args.seeds}, {os.cpu_count()} cores, {platform.machine()}, {time.monotonic() - start:.0f} s"
    )
    for name in rows[0]:
        values = [row[name] for row in rows]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name:45} {statistics.mean(values):7.3f} ± {spread:.3f}   {'  '.join(f'{v:.3f}' for v in values)}")


if __name__ == "__main__":
    main()
