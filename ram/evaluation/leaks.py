"""Whether a name that is called unseen was trained on after all: by its own name, a synonym, or another form of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ram.evaluation.mapping import MappedName, everyday, how_found, plain_name
from ram.labels import LabelSystem, Tag
from ram.labels.forms import singulars
from ram.labels.wordnet import WordNet


@dataclass(frozen=True)
class Leak:
    """A name that should be unseen, and the tag by which training met it.

    `how`: name, synonym, form, everyday, mapping or wordnet.
    """

    name: str
    tag: str
    how: str


def find_leaks(
    unseen: Sequence[str],
    label_system: LabelSystem,
    wordnet: WordNet,
    mapping: Sequence[MappedName] = (),
    held_out: Collection[str] = (),
) -> list[Leak]:
    """One leak a name at most, the surest; names in the order given.

    A tag counts as trained on if it is in the label system, but for `held_out`: names of tags that training is on
    record to have left out. By WordNet two names are one if each has the other's sense for its usual one.
    """
    mapped = {row.name: row.tags for row in mapping}
    trained = [tag for tag in label_system if tag.name not in held_out]
    by_sense = _by_sense(trained, wordnet)
    leaks = []
    for name in unseen:
        ways = _ways(name, label_system, by_sense, wordnet, mapped.get(name, ()))
        found = next(((how, tag) for how, tag in ways if tag.name not in held_out), None)
        if found is not None:
            leaks.append(Leak(name, found[1].name, found[0]))
    return leaks


def _ways(
    name: str, label_system: LabelSystem, by_sense: dict[int, Tag], wordnet: WordNet, mapped: Sequence[Tag]
) -> Iterator[tuple[str, Tag]]:
    plain = plain_name(name)
    for form in (name, plain):
        if tag := label_system.find(form):
            yield how_found(name, tag), tag
    if tag := everyday(plain, label_system):
        yield "everyday", tag
    yield from (("mapping", tag) for tag in mapped)
    for form in (plain, *singulars(plain)):
        if (synset := wordnet.dominant(form)) is not None and synset in by_sense:
            yield "wordnet", by_sense[synset]


def _by_sense(tags: Sequence[Tag], wordnet: WordNet) -> dict[int, Tag]:
    found: dict[int, Tag] = {}
    for tag in tags:
        for name in (tag.name, *tag.synonyms):
            if (synset := wordnet.dominant(name)) is not None:
                found.setdefault(synset, tag)
    return found


def leaks_to_json(leaks: Sequence[Leak]) -> list[dict[str, Any]]:
    return [asdict(leak) for leak in leaks]
