"""Any CSV or Parquet table: `image` and `tag`, with `label` 1 or 0 if it has one; or `image` and `tags`, a list.

The first form is that of `ram finetune`. With a column `label`, what no row names is unknown; without one, it is absent. In a
CSV, `tags` are separated by `|`. A row without a tag says that the image is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ram.datasets.table import table_rows
from ram.evaluation.columns import NEGATIVE, POSITIVE
from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.files import label_files, names_of
from ram.evaluation.label_formats.labels import LabelBuilder, Labeled, Names, Problems
from ram.io.remote import RemotePath

_SAID = {"1": POSITIVE, "1.0": POSITIVE, "true": POSITIVE, "yes": POSITIVE,
         "0": NEGATIVE, "0.0": NEGATIVE, "false": NEGATIVE, "no": NEGATIVE}  # fmt: skip


def read(description: Description, problems: Problems) -> Labeled:
    """Names are those of `names`, where that is given, else all that the table has, sorted."""
    rows: list[tuple[str, str, str, str]] = []  # image, tag, label, where
    has_labels = False
    for path in _tables(description):
        for number, row in enumerate(table_rows(path), start=1):
            where = f"{path.name}, row {number}"
            if "image" not in row or not {"tag", "tags"} & set(row):
                raise ValueError(
                    f"{path} wants the columns image and tag, or image and tags; it has {', '.join(map(str, row))}"
                )
            has_labels = has_labels or "label" in row
            image = _text(row["image"])
            if not image:
                problems.add("malformed_line", f"{where}: no image")
                continue
            rows += [(image, tag, _text(row.get("label", "1")).lower(), where) for tag in _tags(row)]
    tags = sorted({tag for _, tag, _, _ in rows if tag})
    names = names_of(description, "") if description.names else Names.of(tags)
    builder = LabelBuilder(names, problems, complete=description.is_complete(usual=not has_labels))
    for image, tag, label, where in rows:
        image_number = builder.image(image)
        if not tag:
            continue
        if (name := names.find(tag)) is None:
            problems.add("unknown_name", f"{where}: {tag}")
        elif label not in _SAID:
            problems.add("malformed_line", f"{where}: label {label!r}")
        else:
            builder.label(image_number, name, _SAID[label])
    return builder.build()


def _tables(description: Description) -> Iterator[Any]:
    for path in label_files(description, None):
        assert isinstance(path, RemotePath) or path.is_file()
        yield path


def _tags(row: Mapping[str, Any]) -> list[str]:
    """The tags of a row, or one empty text."""
    if "tag" in row:
        return [_text(row["tag"])]
    found = row["tags"] or []
    return [tag for item in (found.split("|") if isinstance(found, str) else found) if (tag := _text(item))] or [""]


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
