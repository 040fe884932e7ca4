"""Labels as a judge of tags: is this (image, tag) right, wrong, or not known?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ram.io.tables import Table
from ram.labels import LabelSystem

RIGHT, WRONG, UNKNOWN = 1, 0, -1


class Truth:
    """What the labels of the images of one split say about tags.

    A name of a benchmark stands for the tag that the label system finds for it; names without one, and the benchmark's
    `unseen` names, judge nothing. For an image of a source that a benchmark covers, a name without a label is absent.
    """

    def __init__(
        self, labels: Table, benchmarks: Mapping[str, Any], images: Table, label_system: LabelSystem, split: str
    ) -> None:
        self._tag_of: dict[tuple[str, str], int] = {}
        self._known: dict[str, np.ndarray] = {}
        for benchmark, facts in benchmarks.items():
            self._add_benchmark(benchmark, facts, label_system)
        rows = images.read(["image_id", "source", "split"])
        self._source: dict[str, str] = {
            image_id: source
            for image_id, source, of_split in zip(*(rows[c].to_pylist() for c in rows.column_names), strict=True)
            if of_split == split and source in self._known
        }
        self._positives: dict[str, set[int]] = defaultdict(set)
        for batch in labels.batches(["image_id", "benchmark", "name"]) if self._source else ():
            for image_id, benchmark, name in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if image_id in self._source and (benchmark, name) in self._tag_of:
                    self._positives[image_id].add(self._tag_of[benchmark, name])

    def _add_benchmark(self, benchmark: str, facts: Mapping[str, Any], label_system: LabelSystem) -> None:
        found = {name: label_system.find(name) for name in set(facts["names"]) - set(facts.get("unseen", ()))}
        tags = {(benchmark, name): tag.tag_id for name, tag in found.items() if tag is not None}
        self._tag_of |= tags
        for source in facts["sources"]:
            known_K = self._known.setdefault(source, np.zeros(len(label_system), dtype=bool))
            known_K[list(tags.values())] = True

    @property
    def image_ids(self) -> list[str]:
        """The images of the split that some benchmark covers."""
        return list(self._source)

    def targets(self, image_ids: Sequence[str], num_tags: int) -> tuple[np.ndarray, np.ndarray]:
        """Two boolean arrays (images, tags): the tag is in the image; it is known whether it is."""
        positive_BK = np.zeros((len(image_ids), num_tags), dtype=bool)
        known_BK = np.zeros_like(positive_BK)
        for row, image_id in enumerate(image_ids):
            if image_id in self._source:
                known_BK[row] = self._known[self._source[image_id]]
                positive_BK[row, list(self._positives.get(image_id, ()))] = True
        return positive_BK, known_BK

    def verdicts(self, image_ids: Sequence[str], tag_ids: Sequence[int]) -> np.ndarray:
        """int8 per row: RIGHT, WRONG or UNKNOWN."""
        return np.array([self._verdict(i, int(t)) for i, t in zip(image_ids, tag_ids, strict=True)], dtype=np.int8)

    def _verdict(self, image_id: str, tag_id: int) -> int:
        source = self._source.get(image_id)
        if source is None or not self._known[source][tag_id]:
            return UNKNOWN
        return RIGHT if tag_id in self._positives.get(image_id, ()) else WRONG
