"""Exact precision, recall and F1 of the caption parser on captions annotated by hand, for each kind and half.

python -m benchmarks.caption_gold            # the figures
python -m benchmarks.caption_gold develop    # and what is missing or too much in that half, caption by caption
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from ram.captions import Phrase, clean_caption, parse_captions, skip_reason

GOLD = Path(__file__).parents[1] / "tests/captions/gold.tsv"
HALVES = ("develop", "check")
KINDS = ("object", "scene", "attribute", "action")
_MAX_WORDS, _MAX_CHARS = 60, 1000  # as in the recipes


class Gold(NamedTuple):
    """A caption with all of its phrases."""

    half: str
    caption: str
    phrases: frozenset[Phrase]


class Score(NamedTuple):
    """Counts of phrases over captions; each figure is in [0, 1], and 1 where there is nothing to find."""

    num_right: int
    num_found: int
    num_gold: int

    @property
    def precision(self) -> float:
        return self.num_right / self.num_found if self.num_found else 1.0

    @property
    def recall(self) -> float:
        return self.num_right / self.num_gold if self.num_gold else 1.0

    @property
    def f1(self) -> float:
        total = self.num_found + self.num_gold
        return 2 * self.num_right / total if total else 1.0


def read_gold(path: Path = GOLD) -> list[Gold]:
    """The annotated captions in the order of the file."""
    gold = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        half, caption, *columns = line.split("\t")
        phrases = (Phrase(text, kind) for kind, column in zip(KINDS, columns, strict=True) for text in _split(column))
        gold.append(Gold(half, caption, frozenset(phrases)))
    return gold


def _split(column: str) -> list[str]:
    return column.split(", ") if column else []


def find_phrases(captions: list[str]) -> list[frozenset[Phrase]]:
    """What the pipeline finds in raw captions: nothing in those that it skips."""
    cleaned = [clean_caption(caption) for caption in captions]
    skipped = [skip_reason(*pair, _MAX_WORDS, _MAX_CHARS) for pair in zip(captions, cleaned, strict=True)]
    parsed = iter(parse_captions([text for text, refusal in zip(cleaned, skipped, strict=True) if refusal is None]))
    return [frozenset(next(parsed)) if refusal is None else frozenset() for refusal in skipped]


def views(phrases: frozenset[Phrase]) -> dict[str, set[Any]]:
    """What is compared: the phrases of each kind, the texts of `noun`, and `all`."""
    of_kind: dict[str, set[Any]] = {kind: {x for x in phrases if x.kind == kind} for kind in KINDS}
    nouns = {x.text for x in phrases if x.kind in ("object", "scene")}
    return {**of_kind, "noun": nouns, "all": set(phrases)}


def scores(gold: list[Gold], found: list[frozenset[Phrase]]) -> dict[str, Score]:
    """Scores for each kind, for `noun` (objects and scenes, whichever of the two they were called) and for `all`."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*KINDS, "noun", "all")}
    for row, phrases in zip(gold, found, strict=True):
        wanted_of, found_of = views(row.phrases), views(phrases)
        for name, wanted in wanted_of.items():
            have = found_of[name]
            counts[name] += Counter(right=len(wanted & have), found=len(have), gold=len(wanted))
    return {name: Score(count["right"], count["found"], count["gold"]) for name, count in counts.items()}


def main(show: str = "") -> None:
    gold = read_gold()
    found = find_phrases([row.caption for row in gold])
    for row, phrases in zip(gold, found, strict=True):
        if row.half == show and row.phrases != phrases:
            print(row.caption)
            print("   missing ", *(f"{p.text}:{p.kind[:3]}" for p in sorted(row.phrases - phrases)), sep="  ")
            print("   too much", *(f"{p.text}:{p.kind[:3]}" for p in sorted(phrases - row.phrases)), sep="  ")
    print(f"{'':<12}" + "".join(f"{half:>10}:     P      R     F1  gold" for half in HALVES))
    by_half = []
    for half in HALVES:
        mine = [(row, phrases) for row, phrases in zip(gold, found, strict=True) if row.half == half]
        by_half.append(scores([row for row, _ in mine], [phrases for _, phrases in mine]))
    for name in by_half[0]:
        cells = (half[name] for half in by_half)
        print(
            f"{name:<12}" + "".join(f"{s.precision:>17.3f}{s.recall:>7.3f}{s.f1:>7.3f}{s.num_gold:>6}" for s in cells)
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
