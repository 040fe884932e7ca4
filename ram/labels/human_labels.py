"""A person's verdicts on single rows (image, tag): read from a CSV file that the project never overwrites.

The file has a row a verdict, with at least the columns `image_id`, `tag` (a name or a synonym) and `verdict`; others are
the person's own. `verdict` is `keep` (the tag is in the image), `wrong` (it is not) or empty (undecided).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ram.labels import LabelSystem
from ram.labels.csv_decisions import read_decisions, refuse
from ram.labels.forms import normalize

VERDICTS_FILE = "verdicts.csv"  # in data/reviews
VERDICTS = ("keep", "wrong")
COLUMNS = ("image_id", "tag", "verdict")

ImageTag = tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One decided row of the file; `where` is the file and the line, for messages."""

    image_id: str
    tag: str
    verdict: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.verdict} {self.tag!r} of {self.image_id!r}"


def read_verdicts(path: Path) -> list[Verdict]:
    """The decided rows of a file of verdicts; none where it is absent or empty.

    `ValueError` that lists every row that is malformed: line, value, rule, remedy.
    """
    if not path.is_file() or not path.stat().st_size:
        return []
    rows = [Verdict(**values) for values in read_decisions(path, COLUMNS, called="verdicts have")]
    refuse(path, [problem for row in rows for problem in _malformed(row)])
    return [row for row in rows if row.verdict]


def _malformed(row: Verdict) -> Iterable[str]:
    if row.verdict and row.verdict not in VERDICTS:
        yield f"{row.where}: verdict {row.verdict!r} is none of {', '.join(VERDICTS)} or nothing; write one of them"
    for column in ("image_id", "tag"):
        if row.verdict and not getattr(row, column):
            yield f"{row.where}: {column} is empty; name the image and the tag that the verdict is about"


def resolve(verdicts: Sequence[Verdict], label_system: LabelSystem) -> tuple[dict[ImageTag, Verdict], list[Verdict]]:
    """{(image_id, tag_id): verdict}, and the verdicts on words that mean no tag of this label system.

    `ValueError` that lists the verdicts that contradict each other, by the same word or by two words for one tag.
    """
    tags = {word: label_system.find(word) for word in {verdict.tag for verdict in verdicts}}
    found: dict[ImageTag, Verdict] = {}
    seen: dict[tuple[str, str], Verdict] = {}
    unknown, problems = [], []
    for verdict in verdicts:
        tag = tags[verdict.tag]
        if tag is None:
            unknown.append(verdict)
            first = seen.setdefault((verdict.image_id, normalize(verdict.tag)), verdict)
        else:
            first = found.setdefault((verdict.image_id, tag.tag_id), verdict)
        if first.verdict != verdict.verdict:
            problems.append(f"{verdict} contradicts {first}; delete one of the two lines")
    if problems:
        raise ValueError("the verdicts cannot be applied:\n" + "\n".join(f"  {problem}" for problem in problems))
    return found, unknown
