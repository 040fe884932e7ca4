"""`ram reproduce`: a registered version made anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ram.cli.output import text_table


def reproduce(
    version: Annotated[str, typer.Argument(help="champion, challenger, previous or a number.")],
    into: Annotated[
        Path | None, typer.Option(help="A folder that is not there yet; the default is .state/reproduced/vN.")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="How far apart two metrics may be and count as the same.")] = 1e-6,
    check_out_only: Annotated[
        bool, typer.Option(help="Check revision, parameters and lock out, and stop there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check out the revision, parameters and lock of a version into a folder of its own, run everything anew, compare.

    The exit status is 1 where a metric differs. This tree, its data and its cache are left alone.
    """
    from ram.registry.reproduce import Reproduction, reproduce

    found = reproduce(version, Path(), into, tolerance, run=not check_out_only)
    if not isinstance(found, Reproduction):
        print(f"checked out in {found}")
        return
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        rows = [{"metric": name, "registered": a, "reproduced": b} for name, (a, b) in found.differences.items()]
        said = "every metric is the same" if found.same else f"{len(rows)} metrics differ"
        weights = "the same bit for bit" if found.same_weights else "not the same bit for bit"
        print(f"version {found.version} at {found.revision[:12]} in {found.directory}")
        print(f"{found.num_metrics} metrics: {said}; the weights are {weights}")
        print(text_table(rows))
    if not found.same:
        raise typer.Exit(1)
