"""Tag lists of public datasets, as they lie under data/vocabularies.

A file `<name>.txt`: lines of comment that begin with `#`, one of them `# kind: noun | action | any`; then an entry a
line, lower case, its synonyms separated by `/`. Where a name has several senses, the line may end with the one that is
meant, as WordNet sorts nouns: `mouse [artifact]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ram.labels.forms import normalize

VOCABULARY_KINDS = ("noun", "action", "any")
SORTS = ("act", "animal", "artifact", "body", "food", "object", "person", "phenomenon", "plant", "substance")
_SENSE = re.compile(r"(.+) \[(.+)\]\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9' .&+-]*\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """One list: `entries` are tuples of synonyms, the first being the name."""

    name: str
    kind: str  # noun: objects and scenes; action; any: not said
    entries: tuple[tuple[str, ...], ...]
    senses: Mapping[str, str] = field(default_factory=dict)  # name -> the sort of thing that it means here


def read_vocabulary(path: Path) -> Vocabulary:
    """The list in `path`; a `ValueError` naming the line for a malformed name or one that stands there twice."""
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.txt")))
        raise ValueError(f"no vocabulary {path.stem!r} in {path.parent}; it has {known}")
    kind, entries, senses, seen = None, [], {}, set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#"):
            if line.startswith("# kind:"):
                kind = line.removeprefix("# kind:").strip()
            continue
        names, sort = _read_entry(line, where=f"{path}:{number}")
        if names[0] in seen:
            raise ValueError(f"{path}:{number}: {names[0]!r} stands there twice; remove one")
        seen.add(names[0])
        entries.append(names)
        if sort is not None:
            senses[names[0]] = sort
    if kind not in VOCABULARY_KINDS:
        raise ValueError(f"{path}: a line `# kind: …` must give one of {', '.join(VOCABULARY_KINDS)}, got {kind!r}")
    return Vocabulary(name=path.stem, kind=kind, entries=tuple(entries), senses=senses)


def _read_entry(line: str, where: str) -> tuple[tuple[str, ...], str | None]:
    """The names of a line, and the sense that it gives them."""
    marked = _SENSE.match(line)
    names, sort = marked.groups() if marked else (line, None)
    if sort is not None and sort not in SORTS:
        raise ValueError(f"{where}: [{sort}] is no sense; known: {', '.join(SORTS)}")
    for name in names.split("/"):
        if not _NAME.match(name):
            raise ValueError(f"{where}: {name!r} is no name: lower-case words, `/` between synonyms")
    return tuple(names.split("/")), sort


def read_vocabularies(directory: Path, names: Sequence[str] | None = None) -> dict[str, Vocabulary]:
    """The vocabularies called `names`, in that order, or all of a folder by name."""
    if names is None:
        names = sorted(path.stem for path in directory.glob("*.txt"))
    return {name: read_vocabulary(directory / f"{name}.txt") for name in names}


def listed_names(vocabularies: Iterable[Vocabulary]) -> set[str]:
    """All names in them, synonyms too, normalized."""
    return {normalize(name) for vocabulary in vocabularies for entry in vocabulary.entries for name in entry}
