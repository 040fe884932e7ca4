"""Counted phrases -> the groups of phrases that become tags, and why the others do not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from ram.labels.forms import normalize, singulars
from ram.labels.synonyms import POS, READINGS, Synonyms
from ram.labels.vocabulary import Vocabulary
from ram.labels.wordnet import WordNet
from ram.pipeline.catalog import KINDS

READING_OF_KIND = {"object": "noun", "scene": "noun", "attribute": "attribute", "action": "action"}
Counts = Mapping[tuple[str, str], int]  # (phrase, kind) -> captions
DROP_REASONS = ("stop_list", "rare", "unknown_word", "over_coverage", "over_max_tags")


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionParams:
    """Which phrases become tags; frequencies are captions of split train."""

    min_frequency: int  # of a phrase that no vocabulary lists
    vocabulary_min_frequency: int  # of one that a vocabulary lists
    unknown_min_frequency: int  # of one that neither a vocabulary nor WordNet knows: a misspelling, a chance compound
    max_tags: int
    min_tags_per_kind: int  # kept of every kind, where there are as many, before max_tags cuts the rarest
    mention_coverage: float | None = None  # the most frequent phrases until this share of mentions has a tag; null: all
    min_reading_share: float = 0.15  # a reading that is a smaller share of its word's counts as an error of the parser

    def __post_init__(self) -> None:
        if not 1 <= self.vocabulary_min_frequency <= self.min_frequency <= self.unknown_min_frequency:
            raise ValueError(
                "frequencies must satisfy 1 <= vocabulary_min_frequency <= min_frequency <= unknown_min_frequency, got "
                f"{self.vocabulary_min_frequency}, {self.min_frequency}, {self.unknown_min_frequency}"
            )
        if self.max_tags < 1 or not 0 <= self.min_tags_per_kind * len(KINDS) <= self.max_tags:
            raise ValueError(
                f"max_tags must be at least 1 and hold {len(KINDS)} x min_tags_per_kind; got {self.max_tags} and "
                f"{self.min_tags_per_kind}"
            )
        if self.mention_coverage is not None and not 0 < self.mention_coverage <= 1:
            raise ValueError(f"mention_coverage must be in (0, 1] or null, got {self.mention_coverage}")
        if not 0 <= self.min_reading_share < 0.5:
            raise ValueError(f"min_reading_share must be in [0, 0.5), got {self.min_reading_share}")


@dataclass(kw_only=True)
class Group:
    """Phrases of one meaning: what becomes a tag."""

    reading: str
    phrases: list[str]  # most frequent first
    kinds: Counter[str]  # captions by kind
    vocabularies: tuple[str, ...] = ()  # that list one of the phrases, in the order of the recipe
    wanted: bool = False  # by a person: kept whatever the rules say
    acts: tuple[str, ...] = ()  # an action's phrases that name the act as nouns too: "a jump"

    @property
    def frequency(self) -> int:
        return self.kinds.total()

    @property
    def kind(self) -> str:
        known = [kind for kind in KINDS if kind in self.kinds]  # with 0 captions where a person alone wants it
        return max(known, key=lambda kind: self.kinds[kind], default="object")


@lru_cache(maxsize=1)
def stop_list() -> frozenset[str]:
    """Phrases that never become tags."""
    text = Path(__file__).with_name("stop_list.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def likely_readings(name: str, wordnet: WordNet) -> tuple[str, ...]:
    """The readings that WordNet knows of a name; of one it does not know, that it is a thing."""
    return tuple(reading for reading in READINGS if wordnet.knows(name, POS[reading])) or ("noun",)


class Listing:
    """Which vocabularies list a name, in its own form or as a plural."""

    def __init__(self, vocabularies: Mapping[str, Vocabulary], wordnet: WordNet) -> None:
        self._by_reading: dict[str, dict[str, dict[str, None]]] = {reading: defaultdict(dict) for reading in READINGS}
        for vocabulary in vocabularies.values():
            for entry in vocabulary.entries:
                for name in map(normalize, entry):
                    readings = likely_readings(name, wordnet) if vocabulary.kind == "any" else (vocabulary.kind,)
                    for form in (name, *singulars(name)):
                        for reading in readings:
                            self._by_reading[reading][form][vocabulary.name] = None

    def of(self, phrase: str, reading: str) -> list[str]:
        return list(self._by_reading[reading].get(phrase, ()))


Readings = dict[str, dict[str, Counter[str]]]  # reading -> phrase -> kind -> captions


def read_counts(counts: Counts, wordnet: WordNet, min_reading_share: float) -> tuple[Readings, set[str], Counter[str]]:
    """`counts` by reading; the phrases whose nouns were counted as acts; and the captions of readings too rare.

    "A jump" is the act of jumping: a noun that WordNet has for an act or event first, or not at all, is counted with
    the verb where captions use the word as a verb at least as often.
    """
    readings: Readings = {reading: defaultdict(Counter) for reading in READINGS}
    for (phrase, kind), count in counts.items():
        readings[READING_OF_KIND[kind]][phrase][kind] += count
    acts = set()
    for phrase, kinds in readings["action"].items():
        nouns = readings["noun"].get(phrase)
        if nouns and nouns.total() <= kinds.total() and _is_act(phrase, wordnet):
            acts.add(phrase)
            kinds["action"] += readings["noun"].pop(phrase).total()
    minor: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for by_phrase in readings.values():
        totals.update({phrase: kinds.total() for phrase, kinds in by_phrase.items()})
    for reading in READINGS:
        for phrase in list(readings[reading]):
            count = readings[reading][phrase].total()
            if count < min_reading_share * totals[phrase]:
                minor[phrase] += count
                del readings[reading][phrase]
    return readings, acts, minor


def _is_act(phrase: str, wordnet: WordNet) -> bool:
    senses = wordnet.senses(phrase)
    return not senses or wordnet.file(senses[0]) in ("noun.act", "noun.event")


def find_groups(
    readings: Readings,
    acts: set[str],
    vocabularies: Mapping[str, Vocabulary],
    wordnet: WordNet,
    *,
    merge_synonyms: bool,
) -> list[Group]:
    """All phrases of `readings` in groups of one meaning."""
    listing = Listing(vocabularies, wordnet)
    groups = []
    for reading, by_phrase in readings.items():
        order = sorted(by_phrase, key=lambda p: (-by_phrase[p].total(), p))
        parts = Synonyms(reading, vocabularies, wordnet).groups(order) if merge_synonyms else [[p] for p in order]
        for part in parts:
            listed = {name for p in part for name in listing.of(p, reading)}
            groups.append(
                Group(
                    reading=reading,
                    phrases=sorted(part, key=lambda p: (-by_phrase[p].total(), p)),
                    kinds=sum((by_phrase[p] for p in part), Counter()),
                    vocabularies=tuple(name for name in vocabularies if name in listed),
                    acts=tuple(p for p in part if reading == "action" and p in acts),
                )
            )
    return groups


def select(
    groups: list[Group], wordnet: WordNet, params: SelectionParams, keep: Mapping[str, str] | None = None
) -> tuple[list[Group], dict[str, list[Group]]]:
    """The groups that become tags, most frequent first, and the others by the reason of their refusal.

    Phrases of `keep` (phrase -> kind) become tags of that kind whatever the rules say.
    """
    wanted = [(phrase, READING_OF_KIND[kind]) for phrase, kind in (keep or {}).items()]
    for group in groups:
        group.wanted = group.wanted or any((phrase, group.reading) in wanted for phrase in group.phrases)
    dropped: dict[str, list[Group]] = {reason: [] for reason in DROP_REASONS}
    kept: list[Group] = []
    for group in groups:
        reason = None if group.wanted else _refusal(group, wordnet, params)
        (dropped[reason] if reason else kept).append(group)
    present = {(phrase, group.reading) for group in kept for phrase in group.phrases}
    for phrase, kind in (keep or {}).items():
        if (phrase, READING_OF_KIND[kind]) not in present:  # no caption has it, or hardly any in this reading
            kinds = Counter({kind: 0})
            kept.append(Group(reading=READING_OF_KIND[kind], phrases=[phrase], kinds=kinds, wanted=True))
    kept.sort(key=lambda g: (-g.frequency, g.phrases[0], g.reading))
    if params.mention_coverage is not None:
        total = sum(group.frequency for group in groups)
        kept, dropped["over_coverage"] = _cut(kept, _num_covering(kept, params.mention_coverage * total), params)
    kept, dropped["over_max_tags"] = _cut(kept, params.max_tags, params)
    return kept, dropped


def _num_covering(groups: Sequence[Group], num_mentions: float) -> int:
    """How many of the first groups have that many mentions together; all, where they have fewer."""
    covered = accumulate(group.frequency for group in groups)
    return next((number for number, sum_ in enumerate(covered, start=1) if sum_ >= num_mentions), len(groups))


def _refusal(group: Group, wordnet: WordNet, params: SelectionParams) -> str | None:
    if group.phrases[0] in stop_list():
        return "stop_list"
    least = params.vocabulary_min_frequency if group.vocabularies else params.min_frequency
    if group.frequency < least:
        return "rare"
    if group.vocabularies or any(_knows(wordnet, p, group.reading) for p in group.phrases):
        return None
    # A verb with its particle falls back to the verb: "look up" is no tag of its own unless a vocabulary says so.
    if group.frequency < params.unknown_min_frequency or (group.reading == "action" and " " in group.phrases[0]):
        return "unknown_word"
    return None


def _knows(wordnet: WordNet, phrase: str, reading: str) -> bool:
    if wordnet.knows(phrase, POS[reading]):
        return True
    return reading == "attribute" and phrase.endswith(("ed", "ing")) and not wordnet.knows(phrase, "noun")


def _cut(groups: list[Group], num_kept: int, params: SelectionParams) -> tuple[list[Group], list[Group]]:
    """The `num_kept` most frequent groups, the first `min_tags_per_kind` of every kind among them; and the others."""
    ranks: Counter[str] = Counter()
    safe: list[Group] = []
    rest: list[Group] = []
    for group in groups:
        ranks[group.kind] += 1
        (safe if group.wanted or ranks[group.kind] <= params.min_tags_per_kind else rest).append(group)
    room = max(num_kept - len(safe), 0)
    kept = {id(group) for group in safe + rest[:room]}
    return [g for g in groups if id(g) in kept], rest[room:]
