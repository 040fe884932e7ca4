"""What each stage costs an image when there are ten and a hundred times as many, and what that makes of 14 million.

python -m benchmarks.scale [--images 200] [--times 1 10 100] [--workspace FOLDER]

The sample recipe made small (64 pixels, one epoch a training), with `--images` train images and that many times more of
them; every stage is a process of its own on one thread, and its CPU seconds, those of its children included, are what counts. The
first size is mostly start: with cost(n) = a + b n^p through three sizes, each `q` times the one before,
p = log_q((c3 - c2) / (c2 - c1)); nothing is projected to grow slower than the images. Finished stages are kept: a killed
run goes on. Linux and macOS.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.workspaces import ROOT, machine, open_workspace, stages, tiny
from ram.io.tables import write_json
from ram.pipeline.params import load_yaml

NUM_IMAGES, CORES = 14_000_000, 64
COSTS = "costs.json"  # of a workspace: {stage: [CPU seconds, MiB]}

# The published training, for the arithmetic of the GPUs (RAM, section 4 and table 4; Swin's and ViT's papers).
NUM_EPOCHS, IMAGE_SIZE_PX = 5, 224
ENCODER_GFLOP = 2 * 34.5  # Swin-L at 224 pixels, 34.5 G multiply-adds an image, forward
TAG_GFLOP = 116.0 * 50 / 145  # the tag decoder over 4,585 tags and 50 tokens; 116 over the 145 of 384 pixels
CAPTION_GFLOP = 2 * 0.24 * 40  # tag encoder and decoder, 0.24 G weights in all, a text of 40 tokens
BACKWARD = 3  # forward and backward together, in forwards
A100_TFLOPS, NUM_GPUS, PAPER_DAYS = 312.0, 8, 3  # bf16 peak
SHARES = (0.1, 0.2, 0.4)  # of the peak, that a training may reach


class Cost(NamedTuple):
    """Of one stage: CPU seconds, and the largest memory of one of its processes."""

    cpu_s: float
    mib: float


def measure(workspace: Path, params: Mapping[str, Any], names: Sequence[str]) -> dict[str, Cost]:
    """Run the stages in the workspace, but for those that are measured; what each cost."""
    open_workspace(workspace, params)
    kept = workspace / COSTS
    costs = {name: Cost(*row) for name, row in json.loads(kept.read_text()).items()} if kept.is_file() else {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for stage in names:
        if stage in costs:
            continue
        process = subprocess.Popen([sys.executable, "-m", "ram", "stage", stage], cwd=workspace, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{stage} failed in {workspace}")
        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        costs[stage] = Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)
        write_json({name: list(cost) for name, cost in costs.items()}, kept)
    return {name: costs[name] for name in names}


def exponent(costs: Sequence[float], times: float) -> float | None:
    """p of cost(n) = a + b n^p through three sizes, each `times` the one before; None where the cost does not grow."""
    first, second, third = costs
    ratio = (third - second) / (second - first) if second > first else 0.0
    return math.log(ratio, times) if ratio > 0 else None


def projected(costs: Sequence[float], sizes: Sequence[int], size: int) -> float:
    """CPU seconds for `size` images, by that curve, or by a straight line from the last two sizes where that is more.

    Where the last cost is no more than the one before, the highest. A curve that flattens is one of work that is done once,
    however much there is; it says nothing of millions.
    """
    if costs[2] <= costs[1]:
        return max(costs)
    power = max(exponent(costs, sizes[1] / sizes[0]) or 1.0, 1.0)
    factor = (costs[2] - costs[1]) / (sizes[2] ** power - sizes[1] ** power)
    return costs[2] + factor * (size**power - sizes[2] ** power)


def gpu_lines() -> list[str]:
    """The published training on GPUs, from operations alone, beside what the paper says it took."""
    forward = ENCODER_GFLOP + TAG_GFLOP + CAPTION_GFLOP
    images = NUM_IMAGES * NUM_EPOCHS
    total = BACKWARD * forward * images / 1e6  # PFLOP
    at_peak = total / (NUM_GPUS * A100_TFLOPS / 1e3) / 86_400
    days = ", ".join(f"{at_peak / share:.1f} days at {share:.0%}" for share in SHARES)
    return [
        f"training of the published size, Swin-L at {IMAGE_SIZE_PX} pixels, 4,585 tags, captions: "
        f"{ENCODER_GFLOP:.0f} + {TAG_GFLOP:.0f} + {CAPTION_GFLOP:.0f} = {forward:.0f} GFLOP forward, x {BACKWARD} with backward, "
        f"x {NUM_IMAGES:,} images x {NUM_EPOCHS} epochs = {total / 1e3:,.0f} EFLOP",
        f"  / ({NUM_GPUS} A100 x {A100_TFLOPS:.0f} TFLOP/s): {days} of that peak; "
        f"the paper's {PAPER_DAYS} days are {at_peak / PAPER_DAYS:.0%}",
    ]


def print_table(costs: Sequence[Mapping[str, Cost]], sizes: Sequence[int]) -> None:
    """A row a stage, then the whole, then the GPUs."""
    heads = [f"{size:,}: CPU s, ms per image" for size in sizes]
    print(f"| stage | {' | '.join(heads)} | exponent | MiB | core hours for {NUM_IMAGES:,} |")
    print("|---" * (len(sizes) + 4) + "|")
    whole = 0.0
    for stage in costs[0]:
        mine = [cost[stage].cpu_s for cost in costs]
        power, hours = exponent(mine, sizes[1] / sizes[0]), projected(mine, sizes, NUM_IMAGES) / 3600
        whole += hours
        cells = [f"{c:.1f}, {1e3 * c / n:.1f}" for c, n in zip(mine, sizes, strict=True)]
        said = "–" if power is None else f"{power:.2f}"
        print(f"| `{stage}` | {' | '.join(cells)} | {said} | {costs[-1][stage].mib:,.0f} | {hours:,.0f} |")
    print(
        f"together {whole:,.0f} core hours / {CORES} cores = {whole / CORES:,.0f} hours, every model of the small recipe"
    )
    print("\n".join(gpu_lines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--times", type=int, nargs=3, default=[1, 10, 100], help="a geometric series")
    parser.add_argument("--workspace", type=Path, default=ROOT / ".state" / "scale")
    args = parser.parse_args()
    one, ten, hundred = args.times
    if not 0 < one < ten or ten * ten != one * hundred:
        parser.error(f"--times wants three numbers, each as many times the one before, got {args.times}")
    sizes, costs = [args.images * times for times in args.times], []
    for size in sizes:
        params = tiny(load_yaml(ROOT / "recipes" / "sample.yaml"))
        params["list_sources"]["sources"][0]["num_train"] = size
        costs.append(measure(args.workspace.resolve() / str(size), params, stages()))
    print_table(costs, sizes)
    print(machine())


if __name__ == "__main__":
    main()
