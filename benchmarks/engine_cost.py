"""What the data engine costs: images a second of each part, clustering time against the regions of a tag, memory.

python -m benchmarks.engine_cost WORKSPACE      # one that has run up to clean_tags; nothing in it is changed

Every part runs alone in a process of its own, on one core, without anything kept from before. Clustering takes the
workspace's own region features, drawn with replacement and jittered, at several numbers of regions; the slope of a
straight line through the logarithms is the exponent. Then all is projected to 14 M images and 4,585 tags, step by step.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workspaces import ROOT, machine

NUM_IMAGES, NUM_TAGS, CORES = 14_000_000, 4585, 64
SIZES = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
PARTS = (
    "score_images, no captions", "score_images", "generate_tags", "embed_regions", "embed_captions", "judge_captions",
    "clean_tags",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one part: seconds of wall clock and of the processor, and the process's largest memory, before and at the end."""

    seconds: float
    cpu_seconds: float
    gib: float
    gib_before: float


def in_own_process(function: Any, *arguments: Any) -> Any:
    """What `function` gives in a new process with one thread."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def run_part(workspace: Path, part: str) -> Cost:
    """Run a stage on the artifacts of the workspace; what it writes is thrown away."""
    from ram.io.tables import MappedTable
    from ram.pipeline.artifacts import read_artifact
    from ram.pipeline.catalog import artifact
    from ram.pipeline.executors import LocalEngine
    from ram.pipeline.params import load_yaml, stage_params
    from ram.pipeline.runner import PROVIDED
    from ram.stages import stage_call

    stage, _, without = part.partition(", ")
    call = stage_call(stage)
    sections = load_yaml(workspace / "params.yaml")
    if without:
        sections[stage]["caption"] = None
    params = stage_params(sections, stage, call.module.Params)
    given = {f: read_artifact(artifact(f), workspace) for f in call.module.Inputs._fields if f not in PROVIDED}
    with tempfile.TemporaryDirectory(dir=workspace) as scratch:
        provided = {"scratch": Path(scratch), "engine": LocalEngine(1)}
        inputs = call.module.Inputs(**given, **{f: v for f, v in provided.items() if f in call.module.Inputs._fields})
        before = _peak_gib()
        start, cpu = time.monotonic(), time.process_time()
        for output in call.module.run(inputs, params):
            if isinstance(output, MappedTable):  # work that the runner does
                for item in output.work.items:
                    output.work.function(item)
        return Cost(time.monotonic() - start, time.process_time() - cpu, _peak_gib(), before)


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def cluster(workspace: Path, size: int) -> Cost:
    """Judge `size` regions of one tag by the detectors of the workspace's recipe."""
    from ram.data_engine.detectors import judge
    from ram.pipeline.artifacts import read_artifact
    from ram.pipeline.catalog import artifact
    from ram.pipeline.params import load_yaml, stage_params
    from ram.stages import clean_tags

    params = stage_params(load_yaml(workspace / "params.yaml"), "clean_tags", clean_tags.Params)
    generator = np.random.default_rng(size)
    batch = next(read_artifact(artifact("region_features"), workspace).batches(["feature"]))
    feature = batch["feature"]
    feature_ND = feature.flatten().to_numpy().reshape(len(feature), -1)
    drawn_ND = feature_ND[generator.integers(len(feature_ND), size=size)]
    drawn_ND = drawn_ND + 0.1 * feature_ND.std(0) * generator.standard_normal(drawn_ND.shape, dtype=np.float32)
    judge(drawn_ND[:200], np.zeros(200), np.ones(200, bool), params.detectors, 0)  # loads what it needs
    before = _peak_gib()
    start, cpu = time.monotonic(), time.process_time()
    judge(drawn_ND, generator.standard_normal(size), np.ones(size, bool), params.detectors, 0)
    return Cost(time.monotonic() - start, time.process_time() - cpu, _peak_gib(), before)


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """a and b of seconds = a · size^b, by least squares of the logarithms."""
    slope, intercept = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(np.exp(intercept)), float(slope)


def exponent_up_to(sampled: int, clusters: Mapping[int, float]) -> tuple[float, float]:
    """The same, of the numbers of regions that are all fitted."""
    fitted = {size: seconds for size, seconds in clusters.items() if size <= sampled}
    if len(fitted) < 2:
        raise ValueError(
            f"--sizes needs two numbers of regions up to points.max_regions, {sampled}; got {list(clusters)}"
        )
    return exponent(list(fitted), list(fitted.values()))


def projection(
    images_per_s: Mapping[str, float], rows_per_image: float, sampled: int, clusters: Mapping[int, float]
) -> list[str]:
    """Lines of arithmetic: core hours of every part for all images, and of the clustering of all tags.

    `clusters`: CPU seconds by regions of a tag, of which `sampled` at most are fitted.
    """
    lines = [f"{NUM_IMAGES:,} images, {NUM_TAGS:,} tags, {CORES} cores:"]
    total = 0.0
    for part, speed in images_per_s.items():
        if part in ("clean_tags", "score_images, no captions"):
            continue  # the cleaning's clusters are below: they do not grow with the images alone
        hours = NUM_IMAGES / speed / 3600
        total += hours
        lines.append(f"  {part:16} {NUM_IMAGES:,} / {speed:.1f} a second / 3600 = {hours:,.0f} core hours")
    rows = NUM_IMAGES * rows_per_image
    per_tag = rows / NUM_TAGS
    lines.append(
        f"  rows             {NUM_IMAGES:,} x {rows_per_image:.1f} an image = {rows:,.0f}, {per_tag:,.0f} a tag"
    )
    factor, power = exponent_up_to(sampled, clusters)
    fitted = min(per_tag, sampled)
    fit_s = factor * fitted**power
    predict_s = max(per_tag - sampled, 0) * _seconds_a_region(clusters, sampled)
    hours = NUM_TAGS * (fit_s + predict_s) / 3600
    total += hours
    lines.append(
        f"  clustering       {NUM_TAGS:,} x ({factor:.3g} x {fitted:,.0f}^{power:.2f} = {fit_s:.1f} s to fit a sample"
        f" + {predict_s:.1f} s for the other regions) / 3600 = {hours:,.0f} core hours"
    )
    lines.append(f"  together         {total:,.0f} core hours / {CORES} = {total / CORES:,.1f} hours")
    return lines


def _seconds_a_region(clusters: Mapping[int, float], sampled: int) -> float:
    """Of regions beyond the sample that is fitted: what the largest number took more than the sample's, each."""
    largest = max(clusters)
    inside = max((size for size in clusters if size <= sampled), default=None)
    if inside is None or largest <= sampled:
        return 0.0
    return max(clusters[largest] - clusters[inside], 0.0) / (largest - sampled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="regions of a tag")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    args = parser.parse_args()
    workspace = args.workspace.resolve()
    from ram.pipeline.artifacts import read_artifact
    from ram.pipeline.catalog import artifact
    from ram.pipeline.params import load_yaml

    images = read_artifact(artifact("images"), workspace).to_pandas(["split"])
    num_train = int((images["split"] == "train").sum())
    num_rows = read_artifact(artifact("generated_tags"), workspace).num_rows
    points = load_yaml(workspace / "params.yaml")["clean_tags"]["detectors"]["points"]
    print(f"{num_train:,} train images, {num_rows:,} rows; one of {machine()}, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'part':28}{'images/s':>12}{'CPU s':>10}{'GiB':>8}{'before':>8}")
    speeds = {}
    for part in args.parts:
        cost = in_own_process(run_part, workspace, part)
        speeds[part] = num_train / cost.cpu_seconds
        print(f"{part:28}{speeds[part]:12.1f}{cost.cpu_seconds:10.1f}{cost.gib:8.2f}{cost.gib_before:8.2f}", flush=True)
    print(f"\n{'regions of a tag':28}{'seconds':>12}{'CPU s':>10}{'GiB':>8}{'before':>8}")
    clusters = {}
    for size in args.sizes:
        cost = in_own_process(cluster, workspace, size)
        clusters[size] = cost.cpu_seconds
        print(
            f"{size:<28,}{cost.seconds:12.2f}{cost.cpu_seconds:10.2f}{cost.gib:8.2f}{cost.gib_before:8.2f}", flush=True
        )
    sampled = points["max_regions"]
    factor, power = exponent_up_to(sampled, clusters)
    print(f"CPU seconds = {factor:.3g} x regions^{power:.2f} up to {sampled:,}; of more, that many are fitted\n")
    for line in projection(speeds, num_rows / num_train, sampled, clusters):
        print(line)


if __name__ == "__main__":
    main()
