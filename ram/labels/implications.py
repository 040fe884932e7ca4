"""What words imply besides what they name: a surfer has a surfboard, a kitchen mostly an oven."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from ram.labels.forms import normalize
from ram.labels.select import READING_OF_KIND

IMPLICATIONS_PATH = Path(__file__).with_name("implications.txt")
SURENESS = {">": "sure", "~": "likely", "?": "possible"}
Extent = Literal["none", "sure", "likely"]


class Implication(NamedTuple):
    """`phrase` in a `reading`, in one caption with all of `beside`, implies `things`."""

    reading: str
    phrase: str
    beside: tuple[str, ...]
    things: tuple[str, ...]
    sureness: str  # sure: always; likely: mostly; possible: often


def read_implications(path: Path = IMPLICATIONS_PATH) -> list[Implication]:
    """The lines of a table of implications; a `ValueError` naming the line for a malformed one."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        reading, _, rest = line.partition(": ")
        sign = next((sign for sign in SURENESS if f" {sign} " in rest), None)
        if reading not in set(READING_OF_KIND.values()) or sign is None:
            raise ValueError(
                f"{path}:{number}: {line!r} is no implication; write `noun: surfer > surfboard` with a reading out of "
                f"{', '.join(sorted(set(READING_OF_KIND.values())))} and `>` (always), `~` (mostly) or `?` (often)"
            )
        phrases, _, things = rest.partition(f" {sign} ")
        for option in phrases.split("/"):
            phrase, *beside = (normalize(part) for part in option.split("+"))
            names = tuple(normalize(thing) for thing in things.split(","))
            found.append(Implication(reading, phrase, tuple(beside), names, SURENESS[sign]))
    return found


class Implications:
    """Looks up what the phrases of one caption imply."""

    def __init__(self, table: Iterable[Implication], extent: Extent) -> None:
        """`extent`: none of the table, only what is sure, or also what is likely or possible."""
        self._by_phrase: dict[tuple[str, str], list[Implication]] = defaultdict(list)
        for line in table:
            if extent == "likely" or (extent == "sure" and line.sureness == "sure"):
                self._by_phrase[line.phrase, line.reading].append(line)

    def of(self, phrases: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """(thing, sureness) for what the (phrase, kind) pairs of a caption imply; a thing may come twice.

        A compound implies what its head implies ("professional tennis player": tennis player) unless it is in the
        table itself.
        """
        words = {phrase for phrase, _ in phrases}
        for phrase, kind in phrases:
            for line in self._lines(phrase, READING_OF_KIND[kind]):
                if all(other in words for other in line.beside):
                    yield from ((thing, line.sureness) for thing in line.things)

    def _lines(self, phrase: str, reading: str) -> list[Implication]:
        while True:
            if found := self._by_phrase.get((phrase, reading)):
                return found
            if reading != "noun" or " " not in phrase:
                return []
            phrase = phrase.partition(" ")[2]


@lru_cache(maxsize=1)
def load_implications() -> tuple[Implication, ...]:
    """The table that comes with the project; read once a process."""
    return tuple(read_implications())
