"""The frequency prior: every image gets the tags that captions name most. What a model must beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ram.evaluation.baselines.interface import Asked, NameScorer, read_label_system
from ram.evaluation.mapping import MappedName

_IMAGES_AT_ONCE = 4096


class FrequencyPrior(NameScorer):
    """A name's score is its tags' mentions in training captions over those of the most mentioned tag; 0 for a text.

    Within a name all images tie, so its average precision is its share of positives.
    """

    looks_at_images = False

    def __init__(self, source: str) -> None:
        self.label_system = read_label_system(source)
        self._most = max((tag.frequency for tag in self.label_system), default=0)
        if not self._most:
            raise ValueError(
                f"the label system of {source} has no frequencies, as an imported one; the prior wants them"
            )

    def scores(self, asked: Asked, names: Sequence[MappedName]) -> Iterator[np.ndarray]:
        """See `NameScorer`."""
        prior_K = np.array(
            [min(sum(tag.frequency for tag in name.tags) / self._most, 1.0) for name in names], np.float32
        )
        for start in range(0, len(asked.images), _IMAGES_AT_ONCE):
            num = min(_IMAGES_AT_ONCE, len(asked.images) - start)
            yield np.broadcast_to(prior_K, (num, len(names)))

    def facts(self) -> dict[str, Any]:
        """The version of the label system that the frequencies are of."""
        assert self.label_system is not None
        return {"label_system": self.label_system.version}
