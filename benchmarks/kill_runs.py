"""Is a run that was killed again and again what an undisturbed one is? `python -m benchmarks.kill_runs`

Two workspaces of the same recipe. In one the pipeline runs undisturbed; in the other it is killed (SIGKILL) at random
moments that are spread over all of its stages, tracking, registration and promotion, started again each time, and
completes in the end. By turns a kill takes every process, as when the machine goes down, and that of the flow alone,
whose stage lives on for as long as it can. Prints a line a kill and what is not as it must be; JSON last. The status is
1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import consistency
from benchmarks.workspaces import ROOT, machine, open_workspace, tiny
from ram.cli.output import text_table
from ram.pipeline.params import load_yaml

CODE = ("ram", "flows", "recipes", ".dvc/plots")
FILES = ("dvc.yaml", "prefect.yaml", ".dvcignore")
# The line that shows that a phase has begun; those after the stages by the task before them.
STAGE = re.compile(r"Running stage '(.+)'|Stage '(.+)' (?:didn't change|is cached)")
LATER = {
    "quality page": "'dvc:report' - Finished",
    "track": "Beginning subflow run",
    "register": "Task run 'track-",
    "promote": "Task run 'make_comparable-",
}
TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Kill:
    """Where a run was killed: seconds after the beginning of `phase`; `everything`, or the flow's own process alone."""

    phase: str
    after_s: float
    everything: bool
    ran_s: float


def make_workspace(workspace: Path, params: Mapping[str, Any]) -> None:
    """A copy of the project in `workspace`, with these parameters and a DVC of its own."""
    open_workspace(workspace, params)
    for name in CODE:
        shutil.copytree(ROOT / name, workspace / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for name in FILES:
        shutil.copyfile(ROOT / name, workspace / name)
    config = ConfigParser()
    config.read(ROOT / ".dvc" / "config")
    config["core"]["no_scm"] = "true"
    with (workspace / ".dvc" / "config").open("w") as stream:
        config.write(stream)


def environment(workspace: Path) -> dict[str, str]:
    """That of a run: all state lies in the workspace, and its own copy of the code is used."""
    theirs = ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "RAM_WEBHOOK_URL")
    kept = {name: value for name, value in os.environ.items() if name not in theirs}
    state = workspace / ".state"
    own = {"DVC_SITE_CACHE_DIR": state / "dvc", "RAM_TEXT_CACHE": state / "text", "PYTHONPATH": workspace}
    return {**kept, **{name: str(path) for name, path in own.items()}}


class Run:
    """One run of the pipeline; `phases` are {what has begun: seconds after the start}."""

    def __init__(self, workspace: Path) -> None:
        self.start = time.monotonic()
        self.phases: dict[str, float] = {"start": 0.0}
        self.lines: list[str] = []
        self.child = subprocess.Popen(
            [sys.executable, "-m", "flows.pipeline"], cwd=workspace, env=environment(workspace), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.append(line.rstrip())
            found = STAGE.search(line)
            begun = [found[1] or found[2]] if found else [name for name, words in LATER.items() if words in line]
            for phase in begun:
                self.phases.setdefault(phase, time.monotonic() - self.start)

    def wait_for(self, phases: Sequence[str], timeout_s: float = TIMEOUT_S) -> bool:
        """Wait until one of the phases has begun; whether it has, before the run ended."""
        deadline = time.monotonic() + timeout_s
        while not any(phase in self.phases for phase in phases):
            if self.child.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError(f"none of {phases} after {timeout_s:.0f} s:\n" + "\n".join(self.lines[-20:]))
            time.sleep(0.05)
        return True

    def finish(self) -> None:
        """Wait for the end; `RuntimeError` with the last lines where it is not a good one."""
        status = self.child.wait(TIMEOUT_S)
        self._reader.join(10)
        if status:
            raise RuntimeError(f"the run ended with status {status}:\n" + "\n".join(self.lines[-40:]))

    def kill(self, everything: bool) -> None:
        """End the flow's process, and with `everything` all that it started."""
        below = psutil.Process(self.child.pid).children(recursive=True) if everything else []
        os.killpg(self.child.pid, signal.SIGKILL)
        while below:  # what was started meanwhile by one that was still alive
            for process in below:
                _kill(process)
            below = [child for process in below if process.is_running() for child in _children(process)]
        self.child.wait()


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def draw_moments(phases: Mapping[str, float], total_s: float, num_kills: int, seed: int) -> list[tuple[str, float]]:
    """(phase, seconds after its beginning) in the order of the run: of as many phases as there are kills, if possible."""
    rng = random.Random(seed)
    names = list(phases)
    ends = dict(zip(names, [*list(phases.values())[1:], total_s], strict=True))
    always = [name for name in ("start", *LATER) if name in phases][:num_kills]
    others = rng.sample([name for name in names if name not in always], min(num_kills, len(names)) - len(always))
    chosen = [*always, *others, *rng.choices(names, k=max(num_kills - len(names), 0))]
    drawn = [(name, rng.uniform(0, ends[name] - phases[name])) for name in chosen]
    return sorted(drawn, key=lambda moment: (names.index(moment[0]), moment[1]))


def run_killed(workspace: Path, moments: Sequence[tuple[str, float]], order: Sequence[str]) -> tuple[list[Kill], float]:
    """Run again and again, killed at each of the moments, and then to the end; the kills, and seconds of the last run."""
    kills: list[Kill] = []
    for number, (phase, after_s) in enumerate(moments):
        run = Run(workspace)
        if not run.wait_for(order[order.index(phase) :]):
            break  # it was at its end before its turn came
        begun = next(name for name in order[order.index(phase) :] if name in run.phases)
        time.sleep(after_s if begun == phase else 0.0)
        if run.child.poll() is not None:
            break
        everything = number % 2 == 0
        run.kill(everything)
        kills.append(
            Kill(
                begun, round(after_s if begun == phase else 0.0, 2), everything, round(time.monotonic() - run.start, 1)
            )
        )
        print(f"{len(kills)}/{len(moments)}: killed {kills[-1].after_s} s into {begun}", file=sys.stderr, flush=True)
    last = Run(workspace)
    last.finish()
    return kills, time.monotonic() - last.start


def faults(killed: Path, undisturbed: Path) -> dict[str, list[str]]:
    """What is not as it must be in the workspace whose runs were killed, by what was looked at; empty lists are well."""
    found = consistency.mlflow_facts(killed), consistency.mlflow_facts(undisturbed)
    return {
        "artifacts": consistency.differing(consistency.artifacts(killed), consistency.artifacts(undisturbed)),
        "MLflow": list(consistency.faults_of_mlflow(*found)),
        "left behind": list(consistency.left_behind(killed)),
        "DVC's cache": consistency.broken_in_cache(killed),
        "out of date": consistency.out_of_date(killed, environment(killed)),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill_runs", description=__doc__)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "sample.yaml")
    parser.add_argument("--tiny", action="store_true", help="few images and one epoch")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--workspace", type=Path, default=ROOT / ".state" / "kill_runs")
    return parser


def main() -> int:
    args = _parser().parse_args()
    params = load_yaml(args.recipe)
    params = tiny(params) if args.tiny else params
    undisturbed, killed = (args.workspace.resolve() / name for name in ("undisturbed", "killed"))
    timeline = undisturbed / "timeline.json"
    if not timeline.is_file():  # the same for every seed
        make_workspace(undisturbed, params)
        run = Run(undisturbed)
        run.finish()
        timeline.write_text(json.dumps({"phases": run.phases, "total_s": time.monotonic() - run.start}))
    known = json.loads(timeline.read_text())
    shutil.rmtree(killed, ignore_errors=True)
    make_workspace(killed, params)
    moments = draw_moments(known["phases"], known["total_s"], args.kills, args.seed)
    kills, last_s = run_killed(killed, moments, list(known["phases"]))
    found = faults(killed, undisturbed)
    rows = [asdict(kill) | {"everything": kill.everything} for kill in kills]
    print(f"{args.recipe.stem}{', tiny' if args.tiny else ''}; {machine()}; undisturbed {known['total_s']:.0f} s")
    print(text_table(rows))
    looked_at = [{"looked at": what, "wrong": "; ".join(wrong) or "nothing"} for what, wrong in found.items()]
    print(text_table(looked_at))
    print(json.dumps({"kills": rows, "faults": found, "undisturbed_s": known["total_s"], "last_s": last_s}))
    return 1 if any(found.values()) or len(kills) < args.kills else 0


if __name__ == "__main__":
    sys.exit(main())
