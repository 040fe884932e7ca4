"""The phrases of an image's captions -> its tags: what they name, what that is a kind of, and what they imply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from ram.labels import LabelSystem
from ram.labels.implications import Extent, Implications, load_implications
from ram.labels.resolve import Resolver
from ram.labels.wordnet import WordNet

T = TypeVar("T")

_FEW_CAPTIONS = 2
_AGREEING = 2


class Stated(NamedTuple, Generic[T]):
    """What one caption says is in the image: by name, by sure implication, and what it makes likely or possible."""

    named: set[T]
    implied: set[T]
    likely: set[T]
    possible: set[T]


def pool(captions: Mapping[int, Stated[T]]) -> dict[T, tuple[str, set[int]]]:
    """{tag: (origin, numbers of the captions it is from)} of all captions of one image, by their number.

    What is possible wants two captions that make it so, what is likely two where there are three or more: people name
    what they see, and what several writers had reason to name and did not is seldom there.
    """
    named, implied, likely, possible = (_numbers(captions, field) for field in Stated._fields)
    least = 1 if len(captions) <= _FEW_CAPTIONS else _AGREEING
    pooled = {tag: ("caption", numbers) for tag, numbers in named.items()}
    for tag in (implied.keys() | likely.keys() | possible.keys()) - named.keys():
        leaning = likely.get(tag, set()) | possible.get(tag, set())
        if len(leaning) < _AGREEING and len(likely.get(tag, set())) < least:
            leaning = set()
        if numbers := implied.get(tag, set()) | leaning:
            pooled[tag] = ("implied", numbers)
    return pooled


def _numbers(captions: Mapping[int, Stated[T]], field: str) -> dict[T, set[int]]:
    found = defaultdict[T, set[int]](set)
    for number, stated in captions.items():
        for tag in getattr(stated, field):
            found[tag].add(number)
    return found


class CaptionTagger:
    """Reads tags off phrases."""

    def __init__(
        self, label_system: LabelSystem, wordnet: WordNet, *, implied_parents: bool, implied_things: Extent
    ) -> None:
        """`implied_parents`: a man is a person; `implied_things`: a surfer has a surfboard (none, sure, likely)."""
        self._label_system = label_system
        self._resolve = Resolver(label_system, wordnet)
        self._implied_parents = implied_parents
        self._implications = Implications(load_implications(), implied_things)

    def __call__(self, phrases: Iterable[tuple[str, str]]) -> Stated[int]:
        """Tag ids of the (phrase, kind) pairs of one caption."""
        phrases = list(phrases)
        stated = Stated[int](set(), set(), set(), set())
        for phrase, kind in phrases:
            own, kinds = self._tags(phrase, kind)
            stated.named.update(own)
            stated.implied.update(kinds)
        by_sureness = {"sure": stated.implied, "likely": stated.likely, "possible": stated.possible}
        for thing, sureness in self._implications.of(phrases):
            own, kinds = self._tags(thing, "object")
            by_sureness[sureness].update(own | kinds)
        return stated

    def _tags(self, phrase: str, kind: str) -> tuple[set[int], set[int]]:
        """The tag that a phrase names, if any; and those that it is a kind of, named or not ("poodle": dog)."""
        tag = self._resolve(phrase, kind)
        if not self._implied_parents:
            return ({tag.tag_id} if tag else set()), set()
        nearest = tag or self._resolve.kind_of(phrase, kind)
        if nearest is None:
            return set(), set()
        parents = {parent.tag_id for name in nearest.parents if (parent := self._label_system.find(name))}
        return ({tag.tag_id}, parents) if tag else (set(), parents | {nearest.tag_id})


def tag_images(
    rows: Iterable[tuple[str, int, str, str]], tagger: CaptionTagger
) -> Iterable[tuple[str, dict[int, tuple[str, Sequence[int]]]]]:
    """(image_id, {tag_id: (origin, caption numbers)}) of (image_id, caption number, phrase, kind) rows, by image."""
    images: dict[str, dict[int, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for image_id, number, phrase, kind in rows:
        images[image_id][number].append((phrase, kind))
    for image_id, captions in images.items():
        pooled = pool({number: tagger(phrases) for number, phrases in captions.items()})
        yield image_id, {tag: (origin, sorted(numbers)) for tag, (origin, numbers) in sorted(pooled.items())}
