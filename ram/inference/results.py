"""What the tagger answers: tags with their scores, a list of them an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

NEW_KIND = "open"  # the kind of a tag that is none of the model's own


@dataclass(frozen=True, slots=True)
class TagScore:
    """One tag of one image. `score` and `threshold` are in 0 … 1; `tag_id` is None for a new tag, whose kind is open.

    `name` is as it was asked for, and `tag` the name of the model's tag that it is; None: it is new. `probability` is
    the calibrated score; None: nobody calibrated it. `implied_by`: the found tag that brought this one, below its own
    threshold, along. With explain: `map` (H × W, float32, a unit of its own, higher where more speaks for the tag) and
    `box`, x0, y0, x1, y1 in shares of width and height; None where no place stands out.
    """

    tag_id: int | None
    name: str
    score: float
    threshold: float
    kind: str
    tag: str | None = None
    probability: float | None = None
    implied_by: str | None = None
    box: tuple[float, float, float, float] | None = None
    map: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def is_new(self) -> bool:
        """Whether the model was not trained on it."""
        return self.tag_id is None


class ImageTags(list[TagScore]):
    """The tags of one image, the highest score first, and its caption where one was asked for."""

    def __init__(self, tags: Iterable[TagScore] = (), caption: str | None = None) -> None:
        super().__init__(tags)
        self.caption = caption


@dataclass(frozen=True)
class Result:
    """What became of one image of a stream: its tags, or the error for which it has none.

    `index` counts the images from 0; `image` is what was given, `name` what a report calls it.
    """

    index: int
    name: str
    image: object = field(repr=False)
    tags: ImageTags | None
    error: OSError | None = None
