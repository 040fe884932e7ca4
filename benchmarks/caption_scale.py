"""Does parsing captions scale? Memory over many captions, and captions a second with more processes.

python -m benchmarks.caption_scale                            # the dictionary path, 1,000,000 generated captions
python -m benchmarks.caption_scale --parser dependency        # the dependency path; minutes

Both run the stage's own function, part by part. Seconds are those of the clock: leave the machine alone meanwhile. What several
processes take includes their start, which costs the dependency path some seconds of loading its model in each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.caption_speed import PARAMS, write_pairs, write_table_file
from ram.captions import parse_captions
from ram.captions.distilled.distillation import distil_table
from ram.pipeline.executors.local import LocalEngine, available_cores
from ram.stages.parse_captions import look_up_part, parse_part

NUM_DISTILLED = 5_000
_GRAMMAR = {
    "being": "man woman boy girl dog cat horse player surfer child bird cow".split(),  # noqa: SIM905
    "look": "red small black wet wooden striped tall young brown shiny".split(),  # noqa: SIM905
    "act": ["sits", "stands", "is running", "jumps", "rides a bike", "holds a ball", "looks up", "eats pizza"],
    "place": ["on the beach", "near a fire truck", "in a park", "beside a table", "without a hat", "on a tennis court"],
}


def generated_captions(count: int, seed: int) -> list[str]:
    """Captions of a small grammar; one in five has a name that no other has, as captions of the web do."""
    draw = random.Random(seed)
    captions = []
    for _ in range(count):
        parts = {slot: draw.choice(words) for slot, words in _GRAMMAR.items()}
        name = f" called {draw.getrandbits(40):x}" if draw.random() < 0.2 else ""
        captions.append(f"A {parts['look']} {parts['being']}{name} {parts['act']} {parts['place']}.")
    return captions


Take = Callable[[Path], Any]


def count_rows(path: Path, take: Take) -> int:
    """Phrases of one part: all that comes back, so that sending results does not count."""
    return int(take(path)[0].num_rows)


def peak_of(paths: list[Path], take: Take) -> float:
    """Peak memory in MiB of this process over the parts, one after the other."""
    for path in paths:
        take(path)
    # Of this process alone: what getrusage says includes the process that it was forked from.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def print_memory(paths: list[Path], take: Take, captions_a_part: int) -> None:
    print(f"\n{'captions':>12}{'peak MiB of a process':>24}")
    for some in (paths[:1], paths[: max(2, len(paths) // 2)], paths):
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a fresh process: a peak is never unset
            print(f"{len(some) * captions_a_part:>12,}{pool.apply(peak_of, (some, take)):>24.0f}", flush=True)


def print_scaling(paths: list[Path], take: Take, captions_a_part: int) -> None:
    print(f"\n{'processes':>12}{'captions a second':>24}")
    first = None
    for processes in range(1, available_cores() + 1):
        start = time.perf_counter()
        rows = sum(LocalEngine(processes).map(partial(count_rows, take=take), paths))
        rate = len(paths) * captions_a_part / (time.perf_counter() - start)
        first = first or rate
        print(f"{processes:>12}{rate:>24,.0f}   {rate / first:.2f} x   ({rows:,} phrases)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parser", choices=("dictionary", "dependency"), default="dictionary")
    parser.add_argument("--captions", type=int, default=1_000_000, help="generated in all")
    parser.add_argument(
        "--scaling-captions", type=int, help="for the count of processes; left out: 5 x all, or 100,000"
    )
    args = parser.parse_args()
    captions_a_part = min(10_000 if args.parser == "dependency" else 100_000, args.captions)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        numbers = range(args.captions // captions_a_part)
        paths = [write_pairs(generated_captions(captions_a_part, i), folder / "pairs", i) for i in numbers]
        if args.parser == "dictionary":
            sample = generated_captions(NUM_DISTILLED, -1)
            table = distil_table(sample, parse_captions(sample), seed=1)
            take: Take = partial(look_up_part, params=PARAMS, table_path=write_table_file(table, folder))
            few = paths * 5  # so fast that the start of the processes would be half of the time
        else:
            take, few = partial(parse_part, params=PARAMS), paths[:10]
        if args.scaling_captions:
            few = paths[: max(args.scaling_captions // captions_a_part, 1)]
        print_scaling(few, take, captions_a_part)
        print_memory(paths, take, captions_a_part)


if __name__ == "__main__":
    main()
