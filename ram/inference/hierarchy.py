"""Found tags and what they imply: only the most specific ones, or what follows from them as well."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, get_args

from ram.labels import LabelSystem
from ram.labels.implications import Implications, load_implications

Hierarchy = Literal["all", "most_specific", "add_implied"]
HIERARCHIES: tuple[Hierarchy, ...] = get_args(Hierarchy)


class TagHierarchy:
    """Which tags follow from which, by id: parents (a dog is an animal), and what surely comes along (surfboards)."""

    def __init__(self, label_system: LabelSystem) -> None:
        self._labels = label_system

    @cached_property
    def _ancestors(self) -> list[list[int]]:
        """Of every tag those it is a kind of, nearest first; parents of parents too."""
        by_name = {tag.name: tag for tag in self._labels}
        found = []
        for tag in self._labels:
            seen: dict[int, None] = {}
            todo = list(tag.parents)
            while todo:
                parent = by_name.get(todo.pop(0))
                if parent is not None and parent.tag_id not in seen and parent is not tag:
                    seen[parent.tag_id] = None
                    todo += parent.parents
            found.append(list(seen))
        return found

    @cached_property
    def _table(self) -> Implications:
        return Implications(load_implications(), "sure")

    def most_specific(self, tag_ids: list[int]) -> list[int]:
        """Those that no other of them is a kind of, in their order."""
        general = {ancestor for tag_id in tag_ids for ancestor in self._ancestors[tag_id]}
        return [tag_id for tag_id in tag_ids if tag_id not in general]

    def implied(self, tag_ids: list[int]) -> dict[int, int]:
        """What follows from these, directly or not, and is none of them -> which of them it follows from."""
        source = {tag_id: tag_id for tag_id in tag_ids}
        todo = list(tag_ids)
        while todo:
            tag_id = todo.pop(0)
            for other in (*self._ancestors[tag_id], *self._along(tag_id)):
                if other not in source:
                    source[other] = source[tag_id]
                    todo.append(other)
        return {tag_id: of for tag_id, of in source.items() if tag_id != of}

    def _along(self, tag_id: int) -> list[int]:
        tag = self._labels[tag_id]
        things = (self._labels.find(thing) for thing, _ in self._table.of([(tag.name, tag.kind)]))
        return [thing.tag_id for thing in things if thing is not None]


def apply(
    hierarchy: Hierarchy, tags: TagHierarchy, found: Mapping[int, float], scores: Mapping[int, float]
) -> dict[int, tuple[float, int | None]]:
    """The tags that are said, by id, each with its score, and the found tag that it follows from (None: found itself).

    `found` has the scores of the tags that reach their thresholds, `scores` those of all that may be said. A tag that
    follows from others is at least as probable as the surest of them: its score is no less.
    """
    ids = list(found)
    if hierarchy == "most_specific":
        ids = tags.most_specific(ids)
    said: dict[int, tuple[float, int | None]] = {tag_id: (found[tag_id], None) for tag_id in ids}
    if hierarchy == "add_implied":
        by_score = sorted(ids, key=lambda tag_id: -found[tag_id])  # so that the surest one is the source
        for tag_id, source in tags.implied(by_score).items():
            if tag_id in scores:
                said[tag_id] = max(scores[tag_id], found[source]), source
    return said
