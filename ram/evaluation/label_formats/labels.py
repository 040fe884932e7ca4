"""What a benchmark says of its images: positive, negative or unknown of every name; and what its files got wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ram.evaluation.columns import NEGATIVE, POSITIVE, UNKNOWN, Targets
from ram.labels.forms import normalize
from ram.labels.vocabulary import read_vocabulary

# N images, K names, R rows: pairs of an image and a name that the files speak of

_NUM_EXAMPLES = 5
_BIT = {POSITIVE: 1, NEGATIVE: 2, UNKNOWN: 4}


@dataclass
class Problems:
    """What could not be used, by reason: how often, and the first few of them in words."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, example: str, num: int = 1) -> None:
        self.counts[reason] += num
        shown = self.examples.setdefault(reason, [])
        if len(shown) < _NUM_EXAMPLES:
            shown.append(example)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return "; ".join(f"{num} {reason} ({', '.join(self.examples[reason][:2])})" for reason, num in self.items())

    def items(self) -> Iterable[tuple[str, int]]:
        """(reason, number), the most frequent first."""
        return self.counts.most_common()

    def to_json(self) -> dict[str, dict[str, object]]:
        return {reason: {"num": num, "examples": self.examples[reason]} for reason, num in sorted(self.counts.items())}


@dataclass(frozen=True)
class Labeled:
    """The labels of a benchmark's images. A pair that no row speaks of is a negative where `complete`, else unknown.

    Rows are sorted by name, then image, each pair once. `alternatives` are other names of a name, where the files
    have some.
    """

    names: tuple[str, ...]
    images: tuple[str, ...]  # as the label files call them
    image_R: np.ndarray
    name_R: np.ndarray
    value_R: np.ndarray  # int8: POSITIVE, NEGATIVE or UNKNOWN
    complete: bool
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def num_positives(self) -> int:
        return int((self.value_R == POSITIVE).sum())

    def targets(self) -> Targets:
        """The labels of all images, a few names at a time; as `tag_metrics` takes them."""
        start_K = np.searchsorted(self.name_R, np.arange(len(self.names) + 1))
        silent = NEGATIVE if self.complete else UNKNOWN

        def block(first: int, last: int) -> np.ndarray:
            target_Nk = np.full((len(self.images), last - first), silent, dtype=np.int8)
            rows = slice(start_K[first], start_K[last])
            target_Nk[self.image_R[rows], self.name_R[rows] - first] = self.value_R[rows]
            return target_Nk

        return block

    def of_images(self, chosen: np.ndarray) -> Labeled:
        """The labels of these images alone, numbers in the order wanted."""
        place_N = np.full(len(self.images), -1)
        place_N[chosen] = np.arange(len(chosen))
        kept = place_N[self.image_R] >= 0
        image, name, value = place_N[self.image_R[kept]], self.name_R[kept], self.value_R[kept]
        order = np.lexsort((image, name))
        return replace(
            self,
            images=tuple(self.images[i] for i in chosen),
            image_R=image[order],
            name_R=name[order],
            value_R=value[order],
        )

    def of_names(self, chosen: np.ndarray) -> Labeled:
        """The labels of these names alone, numbers ascending."""
        place_K = np.full(len(self.names), -1)
        place_K[chosen] = np.arange(len(chosen))
        kept = place_K[self.name_R] >= 0
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            image_R=self.image_R[kept],
            name_R=place_K[self.name_R[kept]],
            value_R=self.value_R[kept],
        )


class LabelBuilder:
    """Collects images and labels in the order of the files."""

    def __init__(self, names: Names, problems: Problems, *, complete: bool) -> None:
        self.names, self.problems, self.complete = names, problems, complete
        self._images: dict[str, int] = {}
        self._rows: list[tuple[int, int, int]] = []

    def image(self, name: str) -> int:
        """The number of an image, a new one for one that was not named before."""
        return self._images.setdefault(name, len(self._images))

    def __contains__(self, name: object) -> bool:
        return name in self._images

    def label(self, image: int, name: int, value: int = POSITIVE) -> None:
        self._rows.append((image, name, _BIT[value]))

    def build(self) -> Labeled:
        """A pair that is called both positive and negative is unknown, and counted; so is one called unknown alone."""
        rows = np.array(self._rows, dtype=np.int64).reshape(-1, 3)
        images = tuple(self._images)
        key, place = np.unique(rows[:, 1] * max(len(images), 1) + rows[:, 0], return_inverse=True)
        said = np.zeros(len(key), dtype=np.int8)
        np.bitwise_or.at(said, place, rows[:, 2].astype(np.int8))
        image, name = key % max(len(images), 1), key // max(len(images), 1)
        both = said & (_BIT[POSITIVE] | _BIT[NEGATIVE]) == _BIT[POSITIVE] | _BIT[NEGATIVE]
        for i in np.flatnonzero(both):
            self.problems.add("contradiction", f"{images[image[i]]}: {self.names.listed[name[i]]}")
        value = np.select(
            [both, said & _BIT[POSITIVE] > 0, said & _BIT[NEGATIVE] > 0], [UNKNOWN, POSITIVE, NEGATIVE], UNKNOWN
        )
        return Labeled(
            self.names.listed,
            images,
            image,
            name,
            value.astype(np.int8),
            self.complete,
            self.names.alternatives,
        )


@dataclass(frozen=True)
class Names:
    """The names of a benchmark in their order, and how one is found by what a file calls it."""

    listed: tuple[str, ...]
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, name: str) -> int | None:
        """The number of a name, whatever its case and hyphens."""
        if not hasattr(self, "_numbers"):
            numbers: dict[str, int] = {}
            for number, own in enumerate(self.listed):
                if numbers.setdefault(normalize(own), number) != number:
                    raise ValueError(
                        f"the name {own!r} is listed twice, so labels by name could mean either; use labels by number"
                    )
            object.__setattr__(self, "_numbers", numbers)
        return self._numbers.get(normalize(name))  # type: ignore[attr-defined]

    @classmethod
    def of(cls, names: Sequence[str]) -> Names:
        return cls(tuple(names))


def read_names(path: Path) -> Names:
    """A tag list: a name a line; our vocabularies, with synonyms; or ADE20k's table, whose last column is the name.

    `ValueError` for an empty line, since it would shift the numbers of those after it.
    """
    if not path.is_file():
        raise ValueError(f"no list of names at {path}; give the benchmark's tag list")
    text = path.read_text(encoding="utf-8-sig")
    if any(line.startswith("# kind:") for line in text.splitlines()[:5]):
        entries = read_vocabulary(path).entries
    else:
        lines = text.rstrip("\n").splitlines()
        if blank := [number for number, line in enumerate(lines, 1) if not line.strip()]:
            raise ValueError(f"{path}, line {blank[0]} is empty; numbers would shift: give one name a line")
        if lines and lines[0].startswith("Idx\t"):
            entries = tuple(
                tuple(name.strip() for name in line.split("\t")[-1].replace(";", ",").split(",")) for line in lines[1:]
            )
        else:
            entries = tuple((line.strip(),) for line in lines)
    if not entries:
        raise ValueError(f"{path} lists no name; give one name a line")
    return Names(tuple(e[0] for e in entries), {e[0]: e[1:] for e in entries if len(e) > 1})
