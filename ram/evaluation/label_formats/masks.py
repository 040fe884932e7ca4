"""Images of labels, as ADE20k's scene parsing has them: a PNG an image, every pixel the number of a name, from 1."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.files import check_length, label_files, names_of
from ram.evaluation.label_formats.labels import LabelBuilder, Labeled, Problems
from ram.io.images import ImageError, decoded, open_header


def read(description: Description, problems: Problems) -> Labeled:
    """A name is there if any pixel has its number; 0 is no name. An image is called as its mask, without the suffix."""
    names = names_of(description, "whose numbers the pixels are")
    check_length(description, names)
    builder = LabelBuilder(names, problems, complete=description.is_complete(usual=True))
    for path in label_files(description, ".png"):
        stem = PurePosixPath(path.name).stem
        try:
            with path.open("rb") as stream, open_header(stream.read(), formats=("PNG",)) as image:
                if image.mode not in ("L", "P", "I", "I;16"):
                    problems.add("mask_in_color", f"{path.name}: mode {image.mode}")
                    continue
                numbers = np.unique(np.asarray(decoded(image)))
        except ImageError as error:
            problems.add("broken_mask", f"{path.name}: {error}")
            continue
        image_key = builder.image(stem)
        for number in numbers[numbers > 0].tolist():
            if number <= len(names.listed):
                builder.label(image_key, number - 1)
            else:
                problems.add("number_beyond_the_list", f"{path.name}: {number}")
    return builder.build()
