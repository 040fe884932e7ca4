"""What benchmarks of several seeds share: a recipe in a folder of its own, its stages without DVC, means and spreads."""

from __future__ import annotations

import copy
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def stages() -> list[str]:
    """The stages in the order of dvc.yaml such that each comes after what it reads."""
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--dry", "--force"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [line.split("'")[1] for line in listed.splitlines() if line.startswith("Running stage '")]


def draws_its_data(params: Mapping[str, Any]) -> bool:
    """Whether the data of a recipe depend on the seed: the sample draws a world, noise included, from it."""
    return any(source["kind"] == "sample_world" for source in params["list_sources"]["sources"])


def with_seed(params: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The recipe with another seed, of its drawn data as well."""
    changed: dict[str, Any] = copy.deepcopy(dict(params))
    changed["seed"] = seed
    for source in changed["list_sources"]["sources"]:
        if source["kind"] == "sample_world":
            source["seed"] = seed
    return changed


def tiny(params: Mapping[str, Any]) -> dict[str, Any]:
    """The sample recipe, made so small that it runs in minutes: it proves that the parts fit, not that they learn."""
    sections: dict[str, Any] = copy.deepcopy(dict(params))
    sections["list_sources"]["sources"][0] |= {"num_train": 200, "num_finetune": 40, "num_dev": 40, "num_test": 40}
    sections["model"]["image_size"] = 64
    sections["embed_images"]["num_views"] = 2
    for stage in ("pretrain", "retrain", "finetune"):
        sections[stage]["training"]["epochs"] = 1
    for bounds in ("pairs", "parsed_tags", "generated_tags", "cleaned_tags"):
        sections["check_tables"][bounds]["min_rows"] = 1
    sections["build_label_system"]["selection"] |= {"min_frequency": 2, "vocabulary_min_frequency": 2}
    sections["engine"] = {"kind": "local", "num_workers": 1}
    return sections


def open_workspace(workspace: Path, params: Mapping[str, Any]) -> None:
    """Make the folder with its params.yaml and vocabularies. `ValueError` where it is there with other params."""
    path, text = workspace / "params.yaml", yaml.safe_dump(dict(params))
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{workspace} was made with other params; remove it, or name another --workspace")
    (workspace / "data").mkdir(parents=True, exist_ok=True)
    for folder in ("vocabularies", "reviews"):  # what people write, in git
        shutil.copytree(ROOT / "data" / folder, workspace / "data" / folder, dirs_exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run_stages(workspace: Path, names: Iterable[str]) -> None:
    """Run these stages in the workspace, but for those that are finished there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = workspace / "done"
    finished = done.read_text().split() if done.is_file() else []
    for stage in names:
        if stage not in finished:
            subprocess.run([sys.executable, "-m", "ram", "stage", stage], cwd=workspace, env=environment, check=True)
            with done.open("a") as stream:
                stream.write(f"{stage}\n")


def machine() -> str:
    """The cores this process may use and their kind, for the line that every table carries."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} of {os.cpu_count()} cores, {platform.machine()}"


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the standard deviation (0 of a single value)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
