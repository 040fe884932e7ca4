"""`ram tag`: tags of pictures."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class OutputFormat(StrEnum):
    """How `ram tag` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def tag(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    model: Annotated[
        str, typer.Option(help="`champion` (the registry's), a version, or a checkpoint folder.")
    ] = "champion",
    tags: Annotated[
        str | None, typer.Option(help="Score just these tags, known or new: names separated by commas.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="One threshold for all tags, 0 to 1; left out, each tag has its own.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="At most this many tags a picture.")] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print.")] = OutputFormat.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json: one object a line.")] = False,
) -> None:
    """Tag pictures. Ones that cannot be read are named at the end, and the exit status is then 1."""
    from ram.inference.tagger import load
    from ram.progress import track

    names = None if tags is None else [name.strip() for name in tags.split(",")]
    tagger = load(model)
    refused: list[str] = []
    show = _printer(OutputFormat.JSON if as_json else output)
    for path in track(list(_expand(pictures)), "tagging", unit="picture"):
        try:
            found = tagger([path], tags=names, threshold=threshold, top_k=top_k)[0]
        except OSError as error:  # the picture's fault, not the command's: go on, and say so at the end
            refused.append(f"{path}: {error}")
            continue
        show(path, found)
    for line in refused:
        print(f"not tagged: {line}", file=sys.stderr)
    if refused:
        raise typer.Exit(1)


def _expand(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        else:
            yield path


def _printer(output: OutputFormat) -> Any:
    writer = csv.writer(sys.stdout)

    def show(path: Path, found: list[Any]) -> None:
        if output is OutputFormat.JSON:
            rows = [
                {"name": t.name, "score": round(t.score, 4), "threshold": t.threshold, "kind": t.kind} for t in found
            ]
            print(json.dumps({"picture": str(path), "tags": rows}, ensure_ascii=False), flush=True)
        elif output is OutputFormat.CSV:
            writer.writerows([path, t.name, f"{t.score:.4f}", t.kind] for t in found)
        else:
            print(path)
            for t in found:
                print(f"  {t.score:6.3f}  {t.name}  ({t.kind})")

    return show
