"""Tag lists of public datasets, as they lie under data/vocabularies.

A file `<name>.txt`: lines of comment that begin with `#`, one of them `# kind: noun | action | any`; then an entry a
line, lower case, its synonyms separated by `/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VOCABULARY_KINDS = ("noun", "action", "any")
_NAME = re.compile(r"[a-z0-9][a-z0-9' .&+-]*\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """One list: `entries` are tuples of synonyms, the first being the name."""

    name: str
    kind: str  # noun: objects and scenes; action; any: not said
    entries: tuple[tuple[str, ...], ...]


def read_vocabulary(path: Path) -> Vocabulary:
    """The list in `path`; a `ValueError` naming the line for a malformed name or one that stands there twice."""
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.txt")))
        raise ValueError(f"no vocabulary {path.stem!r} in {path.parent}; it has {known}")
    kind, entries, seen = None, [], set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#"):
            if line.startswith("# kind:"):
                kind = line.removeprefix("# kind:").strip()
            continue
        names = tuple(line.split("/"))
        for name in names:
            if not _NAME.match(name):
                raise ValueError(f"{path}:{number}: {name!r} is no name: lower-case words, `/` between synonyms")
        if names[0] in seen:
            raise ValueError(f"{path}:{number}: {names[0]!r} stands there twice; remove one")
        seen.add(names[0])
        entries.append(names)
    if kind not in VOCABULARY_KINDS:
        raise ValueError(f"{path}: a line `# kind: …` must give one of {', '.join(VOCABULARY_KINDS)}, got {kind!r}")
    return Vocabulary(name=path.stem, kind=kind, entries=tuple(entries))


def read_vocabularies(directory: Path, names: Sequence[str] | None = None) -> dict[str, Vocabulary]:
    """The vocabularies called `names`, in that order, or all of a folder by name."""
    if names is None:
        names = sorted(path.stem for path in directory.glob("*.txt"))
    return {name: read_vocabulary(directory / f"{name}.txt") for name in names}
