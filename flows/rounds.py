"""Rounds of the data engine as a Prefect flow: the whole graph, and again with the retrained model as generator.

`python -m flows.rounds --rounds 3`. Round 1 is the graph as `python -m flows.pipeline` runs it. Before each further round
the retrained model is put under `data/generators`, where DVC versions it, and `choose_generator.checkpoint` of params.yaml names
it: DVC's graph is the same in every round, and `dvc repro` afterwards stays in the last one. A killed run goes on in the
round where it was.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from flows import reporting
from flows.command import run_here
from flows.environment import child_environment
from flows.hooks import ON_BAD_END
from flows.processes import stream
from flows.promotion import promotion
from flows.stage_graph import StageFailed, read_graph
from flows.stages import Effort, bring_up_to_date
from flows.workspace import PARAMS, set_param, workspace_alone
from ram.cli.output import text_table
from ram.io.tables import copy_folder
from ram.pipeline.catalog import artifact
from ram.pipeline.params import from_mapping, load_yaml
from ram.registry.rounds import RoundParams, note_round, read_rounds

GENERATORS_DIR = Path("data", "generators")  # DVC keeps what is in it, git the names


@flow(name="rounds", persist_result=False, **ON_BAD_END)
def rounds(
    num_rounds: int = 2,
    workspace: Path = Path(),
    restart: bool = False,
    retries: int = 0,
    retry_delay_s: float = 10.0,
    timeout_s: float | None = None,
    publish: bool = False,
) -> list[dict[str, Any]]:
    """Generate, clean and retrain `num_rounds` times at most; what was noted of every round.

    It ends earlier where the section `rounds` of params.yaml says that a further round is not worth it. It goes on from
    the round that `choose_generator.checkpoint` names; `restart` begins with the generator of round 1. `publish`: afterwards
    write the last round to MLflow, register its model and promote it if it is better.
    """
    if num_rounds < 1:
        raise ValueError(f"num_rounds must be 1 or more, got {num_rounds}")
    effort = Effort(retries=retries, retry_delay_s=retry_delay_s, timeout_s=timeout_s)
    workspace, log = workspace.resolve(), get_run_logger()
    params = from_mapping(RoundParams, load_yaml(workspace / PARAMS).get("rounds") or {}, where="rounds")
    with workspace_alone(workspace, log.warning):
        if restart:
            _restart(workspace)
        number = present_round(workspace)
        while True:
            bring_up_to_date(workspace, read_graph(workspace), effort)
            noted = note_round(workspace, number, params)
            log.info("round %d: %s", number, noted["stop"] or "a further round may be worth it")
            if noted["stop"] or number >= num_rounds:
                break
            _next_generator(workspace, number)
            number += 1
        reporting.show_results(workspace)
        if publish:
            promotion(workspace, alone=False)
    return read_rounds(workspace)


def present_round(workspace: Path) -> int:
    """The round that the workspace's generator is of: one more than that of the retrained model that it is."""
    checkpoint = load_yaml(workspace / PARAMS)["choose_generator"]["checkpoint"]
    found = re.fullmatch(rf"{GENERATORS_DIR.as_posix()}/round-(\d+)", checkpoint)
    return int(found[1]) + 1 if found else 1


def _restart(workspace: Path) -> None:
    first = next((r for r in read_rounds(workspace) if r["round"] == 1), None)
    if first is not None:
        set_param(workspace, "choose_generator", "checkpoint", first["checkpoint"])
    elif present_round(workspace) > 1:
        raise ValueError(
            "reports/rounds.json does not say which generator round 1 had; set choose_generator.checkpoint in params.yaml"
        )


def _next_generator(workspace: Path, number: int) -> None:
    """Put the retrained model of round `number` where DVC keeps it, and make it the generator."""
    place = GENERATORS_DIR / f"round-{number}"
    copy_folder(workspace / artifact("retrained_model").path, workspace / place, link=True)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "add", "--quiet", place.as_posix()]
    done = stream(command, workspace, child_environment(), get_run_logger().info, None)
    if done.returncode:
        said = "\n".join(done.lines)
        raise StageFailed(f"`dvc add {place}` failed: {said}")
    set_param(workspace, "choose_generator", "checkpoint", place.as_posix())


def as_table(noted: Sequence[dict[str, Any]]) -> str:
    """The rounds for a terminal."""
    rows = []
    for r in noted:
        steps = {step["name"]: step for step in r["funnel"]["steps"]}
        row = {"round": r["round"], "generator": r["checkpoint"]}
        row |= {name: step["total"] for name, step in steps.items()} | {"removed": steps["cleaned"]["removed"]}
        rows.append(row | {"tag_change": r["tag_change"], "dev_mAP": r["dev_mAP"], "gain": r["gain"]})
    return text_table(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds in this folder and print what each changed; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.rounds", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=2, metavar="N", dest="num_rounds", help="at most")
    parser.add_argument("--restart", action="store_true", help="begin with the generator of round 1")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="more tries of a failed stage")
    parser.add_argument("--timeout-s", type=float, metavar="S", help="for one try of one stage")
    parser.add_argument("--publish", action="store_true", help="track, register and promote the last round")
    options = vars(parser.parse_args(arguments))
    return run_here(
        lambda: rounds(**options, return_state=True), "rounds", "goes on in the round where this one was", _say
    )


def _say(noted: Sequence[dict[str, Any]]) -> None:
    print(f"{as_table(noted)}\n\n{noted[-1]['stop'] or 'the last of the rounds asked for'}")


if __name__ == "__main__":
    sys.exit(main())
