"""Selected groups of phrases -> the label system: names, homographs, synonyms, parents, frequencies."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from ram.labels import LabelSystem, Tag
from ram.labels.forms import gerund, is_irregular_plural, normalize, singulars, spelling_key
from ram.labels.resolve import Resolver, is_kind_of
from ram.labels.select import Counts, Group, Listing, likely_readings
from ram.labels.synonyms import READINGS, Synonyms, everyday_synonyms
from ram.labels.vocabulary import Vocabulary
from ram.labels.wordnet import WordNet

_COLORS = {"orange", "rose", "olive", "lime", "lavender", "peach", "plum", "salmon", "gold", "silver", "cream"}
# Hypernyms that hold of too much to be said of an image: to WordNet a bicycle is a container, and a forest a group.
_VAGUE = {
    "group", "container", "object", "part", "machine", "instrument", "structure", "equipment", "land", "course", "male",
    "female",
}  # fmt: skip


def build_label_system(
    groups: Sequence[Group],
    counts: Counts,
    vocabularies: Mapping[str, Vocabulary],
    wordnet: WordNet,
    *,
    merge_synonyms: bool,
) -> LabelSystem:
    """The label system of `groups`, a tag each, in their order."""
    owners = _owners(groups, vocabularies)
    claims = _Claims(owners, wordnet)
    others: list[list[str]] = [[] for _ in groups]
    if merge_synonyms:
        finders = {reading: Synonyms(reading, vocabularies, wordnet) for reading in READINGS}
        spoken = {phrase for group in groups for phrase in group.phrases}
        for group, unspoken in zip(groups, others, strict=True):
            unspoken += [p for p in finders[group.reading].others(group.phrases) if p not in spoken]
            spoken.update(unspoken)
    listed = _listed_names(vocabularies)
    names = [claims.name(group, _usual_name(group, listed)) for group in groups]
    tags = []
    for tag_id, (group, name, unspoken) in enumerate(zip(groups, names, others, strict=True)):
        synonyms = claims.synonyms(group, name) + [phrase for phrase in unspoken if phrase != normalize(name)]
        sources = (("captions",) if group.frequency else ()) + group.vocabularies
        tags.append(Tag(tag_id=tag_id, name=name, synonyms=tuple(synonyms), kind=group.kind, sources=sources))
    return finish(tags, counts, wordnet)


def finish(tags: Sequence[Tag], counts: Counts, wordnet: WordNet) -> LabelSystem:
    """The label system of `tags`, with their parents and frequencies found anew."""
    return _with_frequencies(_with_parents(tags, wordnet), counts, wordnet)


def unseen_groups(
    groups: Sequence[Group],
    vocabularies: Mapping[str, Vocabulary],
    wordnet: WordNet,
    kind_of_noun: Callable[[str], str],
) -> list[Group]:
    """A group for every entry of the vocabularies that no group names: tags that no caption has."""
    known = {(phrase, group.reading) for group in groups for phrase in group.phrases}
    listing = Listing(vocabularies, wordnet)
    added: list[Group] = []
    for vocabulary in vocabularies.values():
        for entry in vocabulary.entries:
            name = normalize(entry[0])
            reading = vocabulary.kind if vocabulary.kind != "any" else likely_readings(name, wordnet)[0]
            if any((form, reading) in known for own in map(normalize, entry) for form in (own, *singulars(own))):
                continue
            known.add((name, reading))
            kind = kind_of_noun(name) if reading == "noun" else reading
            group = Group(reading=reading, phrases=[name], kinds=Counter({kind: 0}), vocabularies=())
            group.vocabularies = tuple(v for v in vocabularies if v in listing.of(name, reading))
            added.append(group)
    return added


def _owners(groups: Sequence[Group], vocabularies: Mapping[str, Vocabulary]) -> dict[str, str | None]:
    """Phrase -> the reading whose tag may be called so plainly.

    The thing's, where a noun vocabulary lists the word; else the most frequent. A color never takes the name of a
    listed thing (None where that thing is no tag), so that a benchmark's "orange" is not found in every orange shirt.
    """
    nouns = {n for v in vocabularies.values() if v.kind == "noun" for entry in v.entries for n in map(normalize, entry)}
    by_phrase: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        for phrase in group.phrases:
            by_phrase[phrase].append(group)
    owners: dict[str, str | None] = {}
    for phrase, rivals in by_phrase.items():
        readings = {group.reading for group in rivals}
        listed = phrase in nouns
        if listed and "noun" in readings:
            owners[phrase] = "noun"
        elif listed and readings == {"attribute"} and phrase in _COLORS:
            owners[phrase] = None
        else:
            owners[phrase] = max(rivals, key=lambda group: group.frequency).reading
    return owners


class _Claims:
    """Hands out names so that each means one tag."""

    def __init__(self, owners: Mapping[str, str | None], wordnet: WordNet) -> None:
        self._owners = owners
        self._taken = set(owners)
        self._wordnet = wordnet

    def name(self, group: Group, usual: str) -> str:
        """The usual name where the group owns it, else one that says the reading: "orange color", "parking"."""
        word = normalize(usual)
        if self._owners.get(word, group.reading) == group.reading:
            self._taken.add(word)
            return usual
        options = [gerund(word)] if group.reading == "action" and self._is_act(gerund(word)) else []
        options += [f"{word} color"] if group.reading == "attribute" and word in _COLORS else []
        name = next((option for option in options if option not in self._taken), f"{word} ({group.kind})")
        self._taken.add(name)
        return name

    def _is_act(self, gerund_: str) -> bool:
        """Whether a gerund names its act, and is not first a thing of its own, as a dressing or a clearing is."""
        senses = self._wordnet.senses(gerund_)
        return not senses or self._wordnet.file(senses[0]) in ("noun.act", "noun.event")

    def synonyms(self, group: Group, name: str) -> list[str]:
        """The group's phrases besides its name; those that another reading owns as `phrase (kind)`."""
        own = [p if self._owners[p] == group.reading else f"{p} ({group.kind})" for p in group.phrases]
        own += [f"{act} (object)" for act in group.acts]
        return [phrase for phrase in own if phrase != normalize(name)]


def _listed_names(vocabularies: Mapping[str, Vocabulary]) -> dict[str, tuple[int, str]]:
    """Spelling key -> (rank, name) of the first entry that is so called: `_usual_name` takes the lowest rank."""
    found: dict[str, tuple[int, str]] = {}
    names = [entry[0] for vocabulary in vocabularies.values() for entry in vocabulary.entries]
    for rank, name in enumerate(names):
        found.setdefault(spelling_key(name), (rank, name))
    return found


def _usual_name(group: Group, listed: Mapping[str, tuple[int, str]]) -> str:
    """The usual one of everyday synonyms; else as the first vocabulary has it; else the most frequent phrase.

    A vocabulary's name counts if captions use it: trunks are not to be called short pants because a list does.
    """
    for names in everyday_synonyms()[group.reading]:
        if set(names) & set(group.phrases):
            return names[0]
    own = [listed[key] for key in map(spelling_key, group.phrases) if key in listed]
    if group.vocabularies and own:
        return min(own)[1]
    frequent = group.phrases[0]
    return next((s for s in singulars(frequent) if is_irregular_plural(frequent) and s in group.phrases), frequent)


def _with_parents(tags: Sequence[Tag], wordnet: WordNet) -> list[Tag]:
    nouns = [tag for tag in tags if tag.kind in ("object", "scene")]
    by_synset: dict[int, str] = {}
    for tag in nouns:
        synsets = (synset for word in _words(tag) if (synset := wordnet.dominant(word)) is not None)
        if (synset := next(synsets, None)) is not None and wordnet.file(synset) != "noun.shape":
            by_synset.setdefault(synset, tag.name)  # a shape is no kind of thing: no rainbow is a kind of curve
    by_phrase = {normalize(name): tag.name for tag in nouns for name in (tag.name, *tag.synonyms)}
    ordered = _nearest_first({tag.name: _parents(tag, by_synset, by_phrase, wordnet) for tag in nouns})
    return [dataclasses.replace(tag, parents=ordered.get(tag.name, ())) for tag in tags]


def _words(tag: Tag) -> list[str]:
    """What a tag is called, without the kind that tells it from another: "smoke (object)" is smoke."""
    return [normalize(name).removesuffix(f" ({tag.kind})") for name in (tag.name, *tag.synonyms)]


def _parents(tag: Tag, by_synset: Mapping[int, str], by_phrase: Mapping[str, str], wordnet: WordNet) -> list[str]:
    known = [word for word in _words(tag) if wordnet.knows(word, "noun")]
    if known:
        clear = next((name for name in known if wordnet.dominant(name) is not None), known[0])
        found = [by_synset[synset] for synset in wordnet.kinds_of(clear) if synset in by_synset]
    else:
        name = normalize(tag.name)
        heads = [name.split(" ", n)[-1] for n in range(1, name.count(" ") + 1)]
        found = [by_phrase[head] for head in heads if head in by_phrase and is_kind_of(name, head, wordnet)]
        found += [by_synset[s] for head in heads[-1:] if found for s in wordnet.kinds_of(head) if s in by_synset]
    return [name for name in dict.fromkeys(found) if name != tag.name and name.split(" (")[0] not in _VAGUE]


def _nearest_first(parents: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The parents in an order in which none comes before a tag that it is a parent of: dog, then animal."""
    return {name: tuple(sorted(own, key=lambda p: -len(parents.get(p, ())))) for name, own in parents.items()}


def _with_frequencies(tags: Sequence[Tag], counts: Counts, wordnet: WordNet) -> LabelSystem:
    resolve = Resolver(LabelSystem(tags), wordnet)
    frequencies: Counter[int] = Counter()
    for (phrase, kind), count in counts.items():
        if tag := resolve(phrase, kind):
            frequencies[tag.tag_id] += count
    return LabelSystem([dataclasses.replace(tag, frequency=frequencies[tag.tag_id]) for tag in tags])
