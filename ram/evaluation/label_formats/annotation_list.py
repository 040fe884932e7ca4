"""Annotation lists as RAM publishes them: an image a line, its labels behind it, by number or by name.

`image,970 795` or `image,970,795` are numbers, from 0, of the tag list; `image,Auto racing,Jeans` are names of it. An
image without a label stands alone on its line. What no line names is absent.
"""

from __future__ import annotations

import re

from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.files import check_length, label_files, names_of
from ram.evaluation.label_formats.labels import LabelBuilder, Labeled, Problems

_NUMBERS = re.compile(r"[\d\s,]*\Z")


def read(description: Description, problems: Problems) -> Labeled:
    """Labels go by number where all of a file's do, else by name."""
    names = names_of(description, "which its labels refer to")
    builder = LabelBuilder(names, problems, complete=description.is_complete(usual=True))
    for path in label_files(description):
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        rows = [line.partition(",")[::2] for line in lines if line]
        by_number = all(_NUMBERS.match(said) for _, said in rows)
        if by_number:
            check_length(description, names)
        for image, said in rows:
            if image in builder:
                problems.add("repeated_image", image)
            number = builder.image(image)
            for label in re.split(r"[\s,]+", said.strip()) if by_number else said.split(","):
                if label.strip():
                    _add(builder, number, image, label.strip(), by_number)
    return builder.build()


def _add(builder: LabelBuilder, number: int, image: str, label: str, by_number: bool) -> None:
    if by_number:
        if int(label) < len(builder.names.listed):
            builder.label(number, int(label))
        else:
            builder.problems.add("number_beyond_the_list", f"{image}: {label}")
    elif (name := builder.names.find(label)) is not None:
        builder.label(number, name)
    else:
        builder.problems.add("unknown_name", f"{image}: {label}")
