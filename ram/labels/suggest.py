"""What a person might decide about a label system: suggestions in the form of rows of the review file.

They are guesses, and many are wrong: nothing of them takes effect before a person accepts it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from ram.labels import LabelSystem, Tag
from ram.labels.forms import normalize, singulars, spelling_key
from ram.labels.review import COLUMNS
from ram.labels.select import READING_OF_KIND, Group
from ram.labels.senses import THINGS
from ram.labels.synonyms import POS, everyday_synonyms
from ram.labels.vocabulary import Vocabulary, listed_names
from ram.labels.wordnet import WordNet

_NUM_OF_A_SORT = 100  # rows of each sort at most, those of the most captions
_MIN_LETTERS = 6  # of words that one letter tells apart
_DROPPED = ("unknown_word", "over_coverage", "over_max_tags", "rare")  # reasons that a person may overrule

_CLEAR = (0.8, 4)  # share and number of its uses as a thing that make a word clear enough
_UNSEEN = ("attribute", "cognition", "feeling", "motive", "process", "relation", "state")

_Row = tuple[int, dict[str, str]]  # captions, and the columns


def suggestions(
    label_system: LabelSystem,
    dropped: Mapping[str, Sequence[Group]],
    vocabularies: Mapping[str, Vocabulary],
    wordnet: WordNet,
) -> pd.DataFrame:
    """Rows of the review file, undecided, the most frequent of each sort first."""
    sorts = (
        _misspelt(label_system, dropped, listed_names(vocabularies.values()), wordnet),
        _several_things(label_system, wordnet),
        _other_kinds(label_system, wordnet),
        _unseen(label_system, vocabularies, wordnet),
        _ambiguous(label_system, wordnet),
        *(_dropped(groups, reason) for reason, groups in dropped.items() if reason in _DROPPED),
    )
    rows = [row for sort in sorts for _, row in sorted(sort, key=lambda row: -row[0])[:_NUM_OF_A_SORT]]
    return review_frame(rows)


def review_frame(rows: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """Undecided rows of the review file."""
    return pd.DataFrame([{column: row.get(column, "") for column in COLUMNS} for row in rows], columns=list(COLUMNS))


def _row(count: int, action: str, tag: str, value: str, reason: str, evidence: str) -> _Row:
    columns = {"action": action, "tag": tag, "value": value, "reason": reason}
    return count, columns | {"evidence": f"captions: {count}; {evidence}"}


def _misspelt(
    label_system: LabelSystem, dropped: Mapping[str, Sequence[Group]], listed: set[str], wordnet: WordNet
) -> Iterator[_Row]:
    """Words that nothing knows, a letter from a tag that is known: "dalmation" for "dalmatian"."""

    def known(phrase: str) -> bool:
        return phrase in listed or any(wordnet.knows(form) for form in (phrase, *singulars(phrase)))

    def unknown(phrase: str) -> bool:
        return not known(phrase) and not all(map(known, phrase.split()))

    near: dict[str, list[Tag]] = defaultdict(list)
    for tag in label_system:
        name = normalize(tag.name)
        if len(name) >= _MIN_LETTERS and not unknown(name):
            for key in _deletions(name):
                near[key].append(tag)
    strange = [(tag.name, tag.kind, tag.frequency) for tag in label_system if unknown(normalize(tag.name))]
    strange += [(g.phrases[0], g.kind, g.frequency) for r in ("unknown_word", "rare") for g in dropped.get(r, ())]
    for phrase, kind, count in strange:
        if len(phrase) < _MIN_LETTERS or not unknown(normalize(phrase)):
            continue
        close = {tag.tag_id: tag for key in _deletions(normalize(phrase)) for tag in near[key]}
        fit = [tag for tag in close.values() if READING_OF_KIND[tag.kind] == READING_OF_KIND[kind]]
        found = label_system.find(phrase, kind)
        if fit and (found is None or found.name == phrase):
            best = max(fit, key=lambda tag: tag.frequency)
            yield _row(count, "merge", phrase, best.name, "near spelling", f"{best.name!r} has {best.frequency}")


def _deletions(word: str) -> set[str]:
    """`word` and what is left of it without one letter: words of one such key are a letter or two apart."""
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


def _several_things(label_system: LabelSystem, wordnet: WordNet) -> Iterator[_Row]:
    """Synonyms that WordNet knows, and not in any sense of their tag's name."""
    everyday = {frozenset((a, b)) for groups in everyday_synonyms().values() for g in groups for a in g for b in g}
    for tag in label_system:
        pos, name = POS[READING_OF_KIND[tag.kind]], normalize(tag.name)
        own = set(wordnet.senses(name, pos))
        for synonym in tag.synonyms if own else ():
            other = set(wordnet.senses(normalize(synonym), pos))
            same = spelling_key(synonym) == spelling_key(name) or frozenset((normalize(synonym), name)) in everyday
            if other and not other & own and not same:
                yield _row(tag.frequency, "split", tag.name, synonym, "WordNet disagrees", "they share no sense")


def _other_kinds(label_system: LabelSystem, wordnet: WordNet) -> Iterator[_Row]:
    """Tags whose name WordNet has only as another part of speech."""
    kind_of = {"noun": "object", "adj": "attribute", "verb": "action"}
    for tag in label_system:
        words = {normalize(name).removesuffix(f" ({tag.kind})") for name in (tag.name, *tag.synonyms)}
        known = [pos for pos in kind_of if any(wordnet.knows(word, pos) for word in words)]
        if len(known) == 1 and POS[READING_OF_KIND[tag.kind]] != known[0]:
            evidence = f"in captions {tag.kind}, in WordNet only {known[0]}"
            yield _row(tag.frequency, "kind", tag.name, kind_of[known[0]], "WordNet disagrees", evidence)


def _unseen(label_system: LabelSystem, vocabularies: Mapping[str, Vocabulary], wordnet: WordNet) -> Iterator[_Row]:
    """Nouns that mostly mean no thing and that no list of things has; acts, if no list at all has them."""
    things = listed_names(v for v in vocabularies.values() if v.kind == "noun")
    anything = listed_names(vocabularies.values())
    for tag in label_system:
        name = normalize(tag.name)
        synset = wordnet.dominant(name) if tag.kind == "object" and name not in things else None
        sort = wordnet.file(synset).removeprefix("noun.") if synset is not None else None
        if sort in _UNSEEN or (sort == "act" and name not in anything):
            yield _row(tag.frequency, "drop", tag.name, "", "hardly seen", f"WordNet sorts it under {sort}")


def _ambiguous(label_system: LabelSystem, wordnet: WordNet) -> Iterator[_Row]:
    """Nouns that mean several sorts of things, none of which prevails: a person has to say what to do."""
    for tag in label_system:
        name = normalize(tag.name)
        if READING_OF_KIND[tag.kind] != "noun" or wordnet.dominant(name) is not None:
            continue
        things = [s for s in wordnet.seen(name) if wordnet.file(s.synset).removeprefix("noun.") in THINGS]
        sorts: dict[str, list[str]] = {}
        for synset, _ in things:
            sort = wordnet.file(synset).removeprefix("noun.")
            sorts.setdefault(sort, [lemma for lemma in wordnet.lemmas(synset) if lemma != name])
        if len(sorts) > 1 and wordnet.prevailing(things, *_CLEAR) is None:
            told = ", ".join(f"{sort} ({others[0]})" if others else sort for sort, others in sorts.items())
            yield _row(tag.frequency, "", tag.name, "", "ambiguous", told)


def _dropped(groups: Sequence[Group], reason: str) -> Iterator[_Row]:
    for group in heapq.nlargest(_NUM_OF_A_SORT, groups, key=lambda group: group.frequency):
        yield _row(
            group.frequency, "keep", group.phrases[0], group.kind, "frequent but dropped", f"dropped as {reason}"
        )
