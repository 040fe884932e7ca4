"""Captions -> phrases by looking words up: what the dependency parser would say, a hundred times as fast.

A `PhraseTable` is distilled from the parser's own phrases on some captions (`ram.captions.distilled.distillation`). It
knows words, the form that each takes in a phrase, and the votes of the contexts it stands in
(`ram.captions.distilled.token_classifier`): they tell the
"board" of "boards a plane" from that of "a surf board", a shirt that is orange from an orange, a denied dog from a dog.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ram.captions.distilled.token_classifier import MAX_IDS, TEMPLATES, Ints, Votes, key_of, parts_of
from ram.captions.distilled.token_labels import LABELS, NOUN, VERB

NO_WORD = "<>"  # id 0: before the first word of a caption and behind the last
# What is known of a word that was not seen is how it ends; longer endings first.
ENDINGS = (
    "<number>", "<mark>", "<ings>", "<tion>", "<ment>", "<ness>", "<ing>", "<ies>", "<ers>", "<ous>", "<ful>", "<ish>",
    "<ed>", "<er>", "<ly>", "<es>", "<ss>", "<en>", "<al>", "<s>", "<y>", "<word>",
)  # fmt: skip
# Words that may deny the next ones, as far as a mark or so many words; what they deny is learned.
_DENYING = frozenset(["no", "not", "n't", "without", "never", "neither", "nor", "nothing", "lacking", "missing"])
_REACH = 6

_FORMAT = 1


@dataclass(frozen=True)
class PhraseTable:
    """What captions' words become.

    `classes`: word -> its class, by which contexts know words that behave alike.
    `forms`: label -> word -> the word as it stands in a phrase: "dogs" as a noun is "dog".
    `compounds`: words side by side -> the phrase, where that is not the words with the last one's form.
    """

    classes: Mapping[str, str]
    forms: Mapping[str, Mapping[str, str]]
    compounds: Mapping[str, str]
    votes: Votes
    names: tuple[str, ...] = field(init=False)  # of the ids: no word, endings, words in alphabetical order

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", (NO_WORD, *ENDINGS, *sorted(set(self.classes) - {NO_WORD, *ENDINGS})))
        if len(self.names) > MAX_IDS:
            raise ValueError(
                f"a phrase table has at most {MAX_IDS} words, this one {len(self.names)}; distil from less"
            )

    @cached_property
    def ids(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def class_names(self) -> list[str]:
        """By class id; 0 is that of no word."""
        return [NO_WORD, *sorted({*self.classes.values(), *ENDINGS} - {NO_WORD})]

    @cached_property
    def class_ids(self) -> Ints:
        """The class id of every word id."""
        index = {name: i for i, name in enumerate(self.class_names)}
        return np.array([index[self.classes.get(name, name)] for name in self.names])

    @cached_property
    def _denying(self) -> np.ndarray:
        """Whether a word id may deny the words behind it."""
        return np.array([name in _DENYING for name in self.names])

    @cached_property
    def _ending(self) -> np.ndarray:
        """Whether a word id ends what is denied: marks, and the end of the caption."""
        return np.array(
            [name in ("<mark>", NO_WORD) or not (name[0].isalnum() or name[0] in "<'") for name in self.names]
        )

    def columns(self, ids: Ints) -> dict[str, Ints]:
        """What contexts are made of, for word ids with padding between captions."""
        place = np.arange(len(ids))
        denying, ending = self._denying[ids], self._ending[ids]
        last = np.maximum.accumulate(np.where(denying, place, -1))
        last = np.append(-1, last)[: len(ids)]  # a word does not deny itself
        reached = (last > np.maximum.accumulate(np.where(ending, place, -1))) & (place - last <= _REACH)
        return {"w": ids, "c": self.class_ids[ids], "d": np.where(reached, ids[last], 0)}

    @cached_property
    def version(self) -> str:
        """A hash of the content."""
        parts = {"classes": self.classes, "forms": self.forms, "compounds": self.compounds}
        digest = hashlib.sha256(json.dumps([_FORMAT, parts], sort_keys=True).encode())
        digest.update(self.votes.keys.astype("<i8").tobytes())
        digest.update(self.votes.votes.astype("<i4").tobytes())
        return digest.hexdigest()[:12]

    def id_of(self, word: str) -> int:
        """The id of a word, or of its ending where the table does not know it."""
        found = self.ids.get(word)
        return self.ids[ending(word)] if found is None else found

    def form(self, word: str, label: int) -> str:
        """A word as it stands in a phrase: known, or by rule from the words that are known."""
        known = self.forms.get(LABELS[label], {})
        if word in known:
            return known[word]
        if label not in (NOUN, VERB):
            return word
        stems = list(_stems(word, label))
        return next((stem for stem in stems if stem in self._lemmas[label]), stems[0] if stems else word)

    @cached_property
    def _lemmas(self) -> dict[int, frozenset[str]]:
        return {label: frozenset(self.forms.get(LABELS[label], {}).values()) for label in (NOUN, VERB)}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, to be read by people too: a context and its votes in hundredths of log-odds."""
        return {
            "version": self.version,
            "format": _FORMAT,
            "classes": dict(self.classes),
            "forms": {label: dict(forms) for label, forms in self.forms.items()},
            "compounds": dict(self.compounds),
            "contexts": self._contexts(),
        }

    def _contexts(self) -> dict[str, dict[str, str]]:
        contexts: dict[str, dict[str, str]] = {" ".join(parts): {} for parts in TEMPLATES}
        for key, votes in zip(self.votes.keys.tolist(), self.votes.votes.tolist(), strict=True):
            template, ids = parts_of(key)
            parts = TEMPLATES[template]
            names = [
                (self.class_names if part[0] == "c" else self.names)[i] for part, i in zip(parts, ids, strict=True)
            ]
            said = [f"{label} {vote:+d}" for label, vote in zip(LABELS, votes, strict=True) if vote]
            contexts[" ".join(parts)][" ".join(names)] = ", ".join(said)
        return contexts

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PhraseTable:
        """The inverse of `to_json`; `ValueError` for a document of another format or with other content than it says."""
        if document.get("format") != _FORMAT:
            raise ValueError(
                f"a phrase table has format {_FORMAT}, this document {document.get('format')!r}; distil anew"
            )
        empty = Votes(np.empty(0, np.int64), np.empty((0, len(LABELS)), np.int32))
        parts = {name: document[name] for name in ("classes", "forms", "compounds")}
        names = cls(**parts, votes=empty)
        table = cls(**parts, votes=_votes(document["contexts"], names))
        if table.version != document["version"]:
            raise ValueError(f"phrase table {document['version']} has been changed: its content is {table.version}")
        return table


def _votes(contexts: Mapping[str, Mapping[str, str]], names: PhraseTable) -> Votes:
    columns = {label: i for i, label in enumerate(LABELS)}
    class_ids = {name: i for i, name in enumerate(names.class_names)}
    keys, rows = [], []
    for template, parts in enumerate(TEMPLATES):
        known = [class_ids if part[0] == "c" else names.ids for part in parts]
        for context, said in contexts[" ".join(parts)].items():
            keys.append(key_of(template, [ids[name] for ids, name in zip(known, context.split(" "), strict=True)]))
            row = [0] * len(LABELS)
            for vote in said.split(", "):
                label, number = vote.split(" ")
                row[columns[label]] = int(number)
            rows.append(row)
    return Votes(np.array(keys, np.int64), np.array(rows, np.int32).reshape(-1, len(LABELS)))


def ending(word: str) -> str:
    """What is known of a word that was not seen: one of `ENDINGS`."""
    if not word[0].isalpha():
        return "<number>" if word[0].isdigit() else "<mark>"
    return next((e for e in ENDINGS[2:-1] if len(word) >= len(e) and word.endswith(e[1:-1])), "<word>")


def _stems(word: str, label: int) -> Iterable[str]:
    """What a plural or a form of a verb may be made from, the likeliest first."""
    if len(word) < 4:
        return
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if label == NOUN:
        if word.endswith("ves"):
            yield from (word[:-3] + "f", word[:-3] + "fe")
        if re.search(r"(ss|sh|ch|x|z)es\Z", word):
            yield word[:-2]
        if word[-1] == "s" and word[-2] not in "sui":
            yield word[:-1]
        return
    for suffix in ("ing", "ed"):
        stem = word.removesuffix(suffix)
        if stem != word and len(stem) > 2:
            doubled = stem[-1] == stem[-2] and stem[-1] not in "sl"
            yield from (stem[:-1], stem) if doubled else (stem, stem + "e")
    if word[-1] == "s" and word[-2] not in "sui":
        yield from (word[:-1], word[:-2])


def joined(words: Sequence[str], table: PhraseTable) -> str:
    """The noun phrase of words side by side, by the rule that `compounds` has the exceptions from."""
    return " ".join([*words[:-1], table.form(words[-1], NOUN)])
