"""From a benchmark's names to a model's tags, as a file: the project proposes, a person edits, evaluation reads.

A CSV, a row a name: `name`, `tag`, `how`, `note`. `tag` holds names of tags, ` | ` between several: the highest score counts.
An empty one means the name is no tag, and is scored by its text; `-` leaves the name out. `how` says how the tag was found:
`name`, `synonym`, `form` (another number or spelling), `alternative` (of the benchmark's own) or `everyday` (of our table). What
WordNet suggests beyond these stands in the note with a question mark, for a person to decide. Where `how` says something else,
as `reviewed`, it is the person's word.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ram.io.tables import write_text
from ram.labels import LabelSystem, Tag
from ram.labels.csv_decisions import read_decisions, refuse
from ram.labels.forms import normalize, singulars
from ram.labels.resolve import is_kind_of
from ram.labels.synonyms import everyday_synonyms
from ram.labels.wordnet import WordNet

COLUMNS = ("name", "tag", "how", "note")
LEFT_OUT = "-"
SEPARATOR = "|"
SURE = ("name", "synonym", "form", "alternative", "everyday")
# What COCO's and other lists add to a name, which no caption says.
_TAIL = re.compile(r"[\s-](merged|other|stuff|things?)$")
_BRACKETS = re.compile(r"\s*[(\[].*?[)\]]\s*")


@dataclass(frozen=True)
class MappedName:
    """One name of a benchmark and the tags that it is to a model; no tags: it is scored by its text."""

    name: str
    tags: tuple[Tag, ...]
    how: str
    is_left_out: bool = False
    note: str = ""


def propose(
    names: Sequence[str],
    label_system: LabelSystem,
    wordnet: WordNet | None = None,
    alternatives: Mapping[str, Sequence[str]] | None = None,
) -> list[MappedName]:
    """What each name is to a label system, as far as that is sure; with WordNet, notes suggest what it may be."""
    return [_propose(name, label_system, wordnet, (alternatives or {}).get(name, ())) for name in names]


def _propose(name: str, label_system: LabelSystem, wordnet: WordNet | None, alternatives: Sequence[str]) -> MappedName:
    plain = plain_name(name)
    if tag := label_system.find(name) or label_system.find(plain):
        return MappedName(name, (tag,), how_found(name, tag))
    for other in alternatives:
        if tag := label_system.find(other):
            return MappedName(name, (tag,), "alternative", note=f"also called {other}")
    if (known := everyday(plain, label_system)) is not None:
        return MappedName(name, (known,), "everyday")
    found = next(suggestions(plain, label_system, wordnet), None) if wordnet is not None else None
    if found is None:
        return MappedName(name, (), "text")
    how, tag = found
    return MappedName(name, (), "text", note=f"{how}: {tag.name}?")


def everyday(plain: str, label_system: LabelSystem) -> Tag | None:
    """The tag that another name of our table of everyday synonyms has, for a name that is none itself."""
    others = (other for names in _everyday() if plain in names for other in names if other != plain)
    return next((tag for other in others if (tag := label_system.find(other))), None)


@lru_cache(maxsize=1)
def _everyday() -> list[tuple[str, ...]]:
    return [names for groups in everyday_synonyms().values() for names in groups]


def plain_name(name: str) -> str:
    """The name without what a list adds to it: brackets, "-merged", "-other"."""
    plain = normalize(_BRACKETS.sub(" ", name))
    while (shorter := _TAIL.sub("", plain)) != plain:
        plain = shorter
    return plain


def how_found(name: str, tag: Tag) -> str:
    """How `LabelSystem.find` came from `name` to `tag`: by name, synonym or form."""
    plain = {normalize(name), plain_name(name)}
    if normalize(tag.name) in plain:
        return "name"
    return "synonym" if plain & {normalize(synonym) for synonym in tag.synonyms} else "form"


def suggestions(plain: str, label_system: LabelSystem, wordnet: WordNet) -> Iterator[tuple[str, Tag]]:
    """Tags that may mean the same (`wordnet`: a word of a sense of it), then those that it is a kind of (`head`)."""
    for form in (plain, *singulars(plain)):
        for pos in ("noun", "verb", "adj"):
            for synset in wordnet.senses(form, pos):
                for lemma in wordnet.lemmas(synset):
                    if normalize(lemma) != form and (tag := label_system.find(lemma)):
                        yield "wordnet", tag
    words = plain.split()
    for start in range(1, len(words)):
        head = " ".join(words[start:])
        if is_kind_of(plain, head, wordnet) and (tag := label_system.find(head)):
            yield "head", tag


def write_mapping(mapping: Sequence[MappedName], path: Path) -> None:
    """Write the file that a person edits. `ValueError` where it is there already: it may hold decisions."""
    if path.exists():
        raise ValueError(f"{path} is there already and may hold decisions; name another file, or remove it")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in mapping:
        tags = LEFT_OUT if row.is_left_out else f" {SEPARATOR} ".join(tag.name for tag in row.tags)
        writer.writerow([row.name, tags, row.how, row.note])
    write_text(stream.getvalue(), path)


def read_mapping(path: Path, names: Sequence[str], label_system: LabelSystem | None) -> list[MappedName]:
    """The mapping of these names, in order. Without a label system all names are texts, but for those left out.

    `ValueError` that lists every row that is wrong: a name that the benchmark has not, or one that has no row or two
    that differ, or a tag that is none of the label system's.
    """
    if not path.is_file():
        raise ValueError(f"no mapping at {path}; --propose-mapping {path} writes one")
    problems: list[str] = []
    found: dict[str, MappedName] = {}
    known = {normalize(name) for name in names}
    for row in read_decisions(path, COLUMNS[:2], COLUMNS[2:], called="a mapping has"):
        key = normalize(row["name"])
        tags, unknown = _tags(row["tag"], label_system)
        mapped = MappedName(row["name"], tags, row["how"] or "reviewed", row["tag"] == LEFT_OUT, row["note"])
        if key not in known:
            problems.append(f"{row['where']}: the benchmark has no name {row['name']!r}")
        elif key in found and (found[key].tags, found[key].is_left_out) != (tags, mapped.is_left_out):
            problems.append(f"{row['where']}: {row['name']!r} has an earlier row that differs")
        problems += [
            f"{row['where']}: the model has no tag {tag!r}; leave it empty to score by text" for tag in unknown
        ]
        found[key] = mapped
    missing = [name for name in names if normalize(name) not in found]
    problems += [f"{path.name}: no row for {name!r}" for name in missing]
    refuse(path, problems)
    return [_called(found[normalize(name)], name) for name in names]


def _called(mapped: MappedName, name: str) -> MappedName:
    how = "text" if not mapped.tags and mapped.how in SURE else mapped.how
    return MappedName(name, mapped.tags, how, mapped.is_left_out, mapped.note)


def _tags(text: str, label_system: LabelSystem | None) -> tuple[tuple[Tag, ...], list[str]]:
    """The tags that a cell names, and what in it is none."""
    if text == LEFT_OUT or label_system is None:
        return (), []
    wanted = [part.strip() for part in text.split(SEPARATOR) if part.strip()]
    by_name = {tag.name: tag for tag in label_system}
    tags = [by_name.get(name) or label_system.find(name) for name in wanted]
    unknown = [name for name, tag in zip(wanted, tags, strict=True) if tag is None]
    return tuple(dict.fromkeys(tag for tag in tags if tag is not None)), unknown
