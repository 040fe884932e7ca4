"""Open Images' CSVs: ImageID, LabelName (an id of the class descriptions), and Confidence: 1 is there, 0 verified absent.

Tables of boxes have the same columns. Most pairs were never looked at: what no row speaks of is unknown, unless the description
says `unlabeled: negative`, as RAM's benchmarks do.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ram.datasets.source import expand
from ram.datasets.table import table_rows
from ram.evaluation.columns import NEGATIVE, POSITIVE
from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.files import label_files, names_of
from ram.evaluation.label_formats.labels import LabelBuilder, Labeled, Names, Problems


def read(description: Description, problems: Problems) -> Labeled:
    """Names are those of `names`, else all classes. Confidences between 0 and 1 come from machines, and are left out."""
    if description.classes is None:
        raise ValueError(
            f"benchmark {description.name} wants the CSV of ids and names (class-descriptions): give classes"
        )
    name_of = _class_names(description.classes)
    listed = list(dict.fromkeys(name_of.values()))
    names = names_of(description, "") if description.names else Names.of(listed)
    builder = LabelBuilder(names, problems, complete=description.is_complete(usual=False))
    for path in label_files(description, ".csv"):
        for number, row in enumerate(table_rows(path), start=2):
            if missing := {"ImageID", "LabelName"} - set(row):
                raise ValueError(f"{path} is no table of Open Images: it lacks {', '.join(sorted(missing))}")
            _add(builder, row, name_of, f"{path.name}:{number}")
    return builder.build()


def _add(builder: LabelBuilder, row: Mapping[str, str | None], name_of: Mapping[str, str], where: str) -> None:
    label, image = row["LabelName"], row["ImageID"]
    if not label or not image:
        builder.problems.add("malformed_line", where)
    elif label not in name_of:
        builder.problems.add("dangling_category", f"{where}: {label}")
    elif (name := builder.names.find(name_of[label])) is None:
        builder.image(image)
        builder.problems.add("name_left_out", f"{where}: {name_of[label]}")
    elif (value := _value(row.get("Confidence"))) is None:
        builder.image(image)
        builder.problems.add("not_verified", f"{where}: Confidence {row.get('Confidence')}")
    else:
        builder.label(builder.image(image), name, value)


def _value(confidence: str | None) -> int | None:
    """A table without the column lists what is there."""
    if confidence is None:
        return POSITIVE
    try:
        return {1.0: POSITIVE, 0.0: NEGATIVE}.get(float(confidence))
    except ValueError:
        return None


def _class_names(classes: str) -> dict[str, str]:
    path = expand(classes)
    if not isinstance(path, Path) or not path.is_file():
        raise ValueError(f"no class descriptions at {path}; give the CSV of ids and names")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    if short := next((row for row in rows if len(row) < 2), None):
        raise ValueError(f"{path}: a line has an id and a name, got {','.join(short)!r}")
    return {row[0]: row[1] for row in rows if row[0] != "LabelName"}
