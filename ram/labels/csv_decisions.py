"""A CSV file that people write decisions into and the project never overwrites: read, and refused line by line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def read_decisions(
    path: Path, columns: Sequence[str], optional: Sequence[str] = (), *, called: str
) -> list[dict[str, str]]:
    """The rows, stripped: those columns ("" where an optional one is missing), and `where`, the file and the line.

    `called` is the subject of the message where a column is missing ("a review file has"). `ValueError` for that, and
    for a file that is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if missing := set(columns) - set(reader.fieldnames or ()):
                raise ValueError(f"{path}:1: {called} the columns {', '.join(columns)}; add {sorted(missing)}")
            return [
                {column: (values.get(column) or "").strip() for column in (*columns, *optional)}
                | {"where": f"{path.name}:{reader.line_num}"}
                for values in reader
            ]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}; save it as CSV in UTF-8"
        ) from error


def refuse(path: Path, problems: Sequence[str]) -> None:
    """`ValueError` that lists the problems of the file, where it has any."""
    if problems:
        raise ValueError(f"{path} cannot be applied:\n" + "\n".join(f"  {problem}" for problem in problems))
