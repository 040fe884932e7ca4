"""The embedded data: images drawn by this code, with captions that tell a part of the truth, and the whole truth.

It needs no download, and since all that is drawn is known, what the data engine adds and removes can be judged.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.datasets.source import Benchmark, Box, Label, Refusal, Sample, check_name
from ram.datasets.synthetic.draw import draw_world
from ram.datasets.synthetic.grammar import write_captions
from ram.datasets.synthetic.pen import COLORS
from ram.datasets.synthetic.scenes import SCENE_NAMES
from ram.datasets.synthetic.things import ACTIONS, SIZES, THINGS, UNSEEN_COLORS, UNSEEN_THINGS
from ram.datasets.synthetic.world import World, imagine, rng_of

IMAGES_PER_CHUNK = 100
JPEG_QUALITY = 90
# The splits that models learn from; what is held back is in none of their images.
LEARNING_SPLITS = ("train", "finetune")
SPLIT_ORDER = ("train", "finetune", "dev", "test")  # of the images' numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleWorld:
    """Shares of noise are probabilities; the defaults are about what web captions have."""

    name: str
    num_train: int = 1700
    num_finetune: int = 250
    num_dev: int = 200
    num_test: int = 400
    seed: int = 1
    omitted_share: float = 1 / 3  # of what is in an image is in none of its captions
    false_share: float = 0.08  # of the captions name a thing that is not there
    foreign_share: float = 0.05  # of the captions belong to another image
    captions: str = "required"

    def __post_init__(self) -> None:
        check_name(self.name)
        for parameter in ("omitted_share", "false_share", "foreign_share"):
            if not 0 <= getattr(self, parameter) < 1:
                raise ValueError(f"{parameter} of source {self.name} must be in [0, 1), got {getattr(self, parameter)}")
        if self.captions != "required":
            raise ValueError(f"source {self.name} always has captions, got captions={self.captions!r}")

    def files(self) -> list[str]:
        return []

    def provenance(self) -> dict[str, Any]:
        return {"generator": generator_version()}

    def benchmark(self) -> Benchmark:
        names = (*THINGS, *SCENE_NAMES, *COLORS, *SIZES, *ACTIONS)
        return Benchmark(
            name=self.name,
            names=tuple(sorted(names)),
            unseen=(*UNSEEN_THINGS, *UNSEEN_COLORS),
            description="drawn images: things with boxes, their colors, sizes and actions, and places",
        )

    def chunks(self, files: Sequence[str]) -> list[tuple[str, int, int]]:
        """(split, first, last + 1) of the images' numbers."""
        chunks = []
        start = 0
        for split in SPLIT_ORDER:
            stop = start + getattr(self, f"num_{split}")
            chunks += [
                (split, first, min(first + IMAGES_PER_CHUNK, stop)) for first in range(start, stop, IMAGES_PER_CHUNK)
            ]
            start = stop
        return chunks

    def read(self, chunk: tuple[str, int, int]) -> Iterator[Sample | Refusal]:
        split, first, stop = chunk
        for number in range(first, stop):
            world = self.world(number, split)
            image, boxes = draw_world(world, rng_of(self.seed, number, "draw"))
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=JPEG_QUALITY)
            yield Sample(
                key=f"{number:06d}",
                image=stream.getvalue(),
                split=split,
                captions=self._captions(number, split),
                labels=_labels(world, boxes),
            )

    def world(self, number: int, split: str) -> World:
        """What image `number` shows."""
        return imagine(self.seed, number, allow_unseen=split not in LEARNING_SPLITS)

    def _captions(self, number: int, split: str) -> tuple[str, ...]:
        """The image's captions, some of them of another image of its split."""
        rng = rng_of(self.seed, number, "foreign")
        captions = self._own_captions(number, split)
        first, num_images = self._numbers(split)
        for index in range(len(captions)):
            if num_images > 1 and rng.random() < self.foreign_share:
                other = first + (number - first + rng.randrange(1, num_images)) % num_images
                captions[index] = self._own_captions(other, split)[0]
        return tuple(captions)

    def _own_captions(self, number: int, split: str) -> list[str]:
        return write_captions(
            self.world(number, split),
            rng_of(self.seed, number, "captions"),
            omitted_share=self.omitted_share,
            false_share=self.false_share,
        )

    def _numbers(self, split: str) -> tuple[int, int]:
        """The first number of a split, and how many images it has."""
        first = 0
        for name in SPLIT_ORDER:
            if name == split:
                break
            first += getattr(self, f"num_{name}")
        return first, getattr(self, f"num_{split}")


def _labels(world: World, boxes: Sequence[Sequence[Box]]) -> tuple[Label, ...]:
    """The whole truth: a row a thing and place for its kind, color, size and action, and one for the scene."""
    labels = [Label(name=world.scene)] if world.scene else []
    # A wood is made of trees, whether or not one stands in front of it.
    labels += [Label(name="tree")] if world.scene == "forest" else []
    for thing, places in zip(world.things, boxes, strict=True):
        names = [name for name in (thing.kind, thing.color, thing.size, thing.action) if name]
        labels += [Label(name=name, box=box) for box in places for name in names]
    return tuple(labels)


def generator_version() -> str:
    """A hash of the code that draws: another code draws other images."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
