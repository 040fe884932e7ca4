"""Annotation lists as RAM publishes them: a picture a line, its labels behind it, by number or by name.

`picture,970 795` or `picture,970,795` are numbers, from 0, of the tag list; `picture,Auto racing,Jeans` are names of it. A
picture without a label stands alone on its line. What no line names is absent.
"""

from __future__ import annotations

import re

from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.files import check_length, label_files, names_of
from ram.evaluation.label_formats.labels import LabelBuilder, Labelled, Problems

_NUMBERS = re.compile(r"[\d\s,]*\Z")


def read(description: Description, problems: Problems) -> Labelled:
    """Labels go by number where all of a file's do, else by name."""
    names = names_of(description, "which its labels refer to")
    builder = LabelBuilder(names, problems, complete=description.is_complete(usual=True))
    for path in label_files(description):
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        rows = [line.partition(",")[::2] for line in lines if line]
        by_number = all(_NUMBERS.match(said) for _, said in rows)
        if by_number:
            check_length(description, names)
        for picture, said in rows:
            if picture in builder:
                problems.add("repeated_picture", picture)
            number = builder.picture(picture)
            for label in re.split(r"[\s,]+", said.strip()) if by_number else said.split(","):
                if label.strip():
                    _add(builder, number, picture, label.strip(), by_number)
    return builder.build()


def _add(builder: LabelBuilder, number: int, picture: str, label: str, by_number: bool) -> None:
    if by_number:
        if int(label) < len(builder.names.listed):
            builder.label(number, int(label))
        else:
            builder.problems.add("number_beyond_the_list", f"{picture}: {label}")
    elif (name := builder.names.find(label)) is not None:
        builder.label(number, name)
    else:
        builder.problems.add("unknown_name", f"{picture}: {label}")
