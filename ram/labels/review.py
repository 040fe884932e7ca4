"""A person's decisions on the label system: read from a CSV file that the project never overwrites, checked, applied.

The file has a row a decision, with at least the columns `decision`, `action`, `tag` and `value`; others are the person's
own. `decision` is `accept` (do it, at every build), `reject` (never suggest it again) or empty (undecided). `action`:

- keep: the phrase `tag` becomes a tag though the rules drop it; `value` is its kind;
- merge: `tag` becomes a synonym of the tag `value`;
- split: the synonyms `value`, separated by `/`, leave `tag` and become one tag, called by the first;
- rename: `tag` is called `value` from now on, its old name a synonym;
- drop: `tag` becomes no tag;
- kind: `tag` gets the kind `value`.

Tags are named as the build names them without the file, or as a row renames them, so that rows go on to hold when
others are added.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ram.labels import Tag
from ram.labels.csv_decisions import read_decisions, refuse
from ram.labels.forms import normalize
from ram.pipeline.catalog import KINDS

DECISIONS = ("accept", "reject", "")
ACTIONS = ("keep", "merge", "split", "rename", "drop", "kind")
COLUMNS = ("decision", "action", "tag", "value", "reason", "evidence", "note")
_REQUIRED = COLUMNS[:4]
_CLAIMS = {"merge", "rename", "drop"}  # what becomes of a tag as a whole: one of them at most
_SEPARATOR = "/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the file; `where` is the file and the line, for messages."""

    decision: str
    action: str
    tag: str
    value: str
    where: str
    reason: str = ""  # of the suggestion that it was

    @property
    def subject(self) -> tuple[str, str, str]:
        """What the row says."""
        return (self.action, normalize(self.tag), normalize(self.value))

    def __str__(self) -> str:
        joint = {"merge": "into", "rename": "to"}.get(self.action, "as")
        return f"{self.action} {self.tag!r} {joint} {self.value!r}" if self.value else f"{self.action} {self.tag!r}"


def read_review(path: Path) -> list[Row]:
    """The rows of a review file; none where it is absent.

    `ValueError` that lists every row that is malformed or contradicts another: line, value, rule, remedy.
    """
    if not path.is_file():
        return []
    rows = [Row(**values) for values in read_decisions(path, _REQUIRED, ("reason",), called="a review file has")]
    refuse(path, [problem for row in rows for problem in _malformed(row)] + _contradictions(rows))
    return rows


def _malformed(row: Row) -> Iterable[str]:
    if row.decision not in DECISIONS:
        yield f"{row.where}: decision {row.decision!r} is none of accept, reject or nothing; write one of them"
    if row.decision != "accept":
        return
    if row.action not in ACTIONS:
        yield f"{row.where}: action {row.action!r} is none of {', '.join(ACTIONS)}; write one of them, or reject the row"
    if not row.tag:
        yield f"{row.where}: tag is empty; name the tag that the decision is about"
    if row.action in ("keep", "kind") and row.value not in KINDS:
        yield f"{row.where}: value {row.value!r} is no kind; for {row.action}, write one of {', '.join(KINDS)}"
    if row.action in ("merge", "split", "rename") and not row.value:
        wanted = {"merge": "the tag to merge into", "split": "the synonyms that leave", "rename": "the new name"}
        yield f"{row.where}: value is empty; for {row.action}, write {wanted[row.action]}"
    if row.action == "drop" and row.value:
        yield f"{row.where}: value {row.value!r} has no meaning for drop; leave it empty"


def _contradictions(rows: Sequence[Row]) -> list[str]:
    problems = []
    accepted = [row for row in rows if row.decision == "accept"]
    claimed: dict[tuple[str, str], Row] = {}
    for row in accepted:
        sort = "becomes" if row.action in _CLAIMS else row.action
        if row.action == "split":
            continue
        first = claimed.setdefault((sort, normalize(row.tag)), row)
        if first.subject != row.subject:
            problems.append(
                f"{row.where}: {row} contradicts {first.where}: {first}; a tag has one fate, so reject one of the two"
            )
    fates = {normalize(row.tag): row for row in accepted if row.action in ("merge", "drop")}
    for row in accepted:
        other = fates.get(normalize(row.value)) if row.action == "merge" else None
        if other is not None:
            remedy = f"merge into {other.value!r} instead" if other.action == "merge" else "reject one of the two"
            problems.append(f"{row.where}: {row}, but {other.where} says {other}; {remedy}")
    return problems


def add_suggestions(path: Path, suggested: Iterable[Mapping[str, str]]) -> int:
    """Append those suggestions that the review file does not have, undecided; their number.

    What stands in the file stays as it is, to the letter. A suggestion is there already if a row of its tag has its
    reason, whatever the person has made of it, or if a row merges the same two tags.
    """
    rows = read_review(path)
    known = {key for row in rows for key in _keys(row.action, row.tag, row.value, row.reason)}
    new = []
    for row in suggested:
        keys = _keys(row["action"], row["tag"], row["value"], row["reason"])
        if not known & keys:
            known |= keys
            new.append(row)
    if not new:
        return 0
    old = path.read_text(encoding="utf-8-sig") if path.is_file() else ",".join(COLUMNS) + "\n"
    columns = next(csv.reader([old.splitlines()[0]]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as stream:
        if not path.stat().st_size:
            stream.write(old)
        elif not old.endswith("\n"):
            stream.write("\n")
        csv.DictWriter(stream, columns, extrasaction="ignore", restval="", lineterminator="\n").writerows(new)
    return len(new)


def _keys(action: str, tag: str, value: str, reason: str) -> set[Hashable]:
    own, other = normalize(tag), normalize(value)
    keys: set[Hashable] = {frozenset((own, other)) if action == "merge" else (action, own, other)}
    if reason:
        keys.add((reason, own, other if action == "split" else ""))
    return keys


def kept_phrases(rows: Iterable[Row], known_phrases: Collection[str]) -> dict[str, str]:
    """Phrase -> kind of the accepted rows `keep`; `ValueError` for a phrase that is not known."""
    kept = {normalize(row.tag): row for row in rows if row.decision == "accept" and row.action == "keep"}
    if strange := [row for phrase, row in kept.items() if phrase not in known_phrases]:
        raise ValueError(
            f"{strange[0].where}: {strange[0]}: no caption, vocabulary or dictionary has "
            f"{strange[0].tag!r}; correct its spelling, or add it to a list of data/vocabularies that the recipe uses"
        )
    return {phrase: row.value for phrase, row in kept.items()}


def apply_review(
    tags: Sequence[Tag], rows: Iterable[Row], known_phrases: Collection[str]
) -> tuple[list[Tag], list[Row]]:
    """The tags as the accepted rows want them, in their order, new ones last; and the rows without effect.

    Parents and frequencies are the caller's to find anew. A row on a tag that is none now, but whose name captions or
    vocabularies know (`known_phrases`), has no effect: another corpus may have it again. `ValueError` that lists the
    rows whose tag nothing knows, that merge into no tag, or rename to a name that another tag has.
    """
    rows = [row for row in rows if row.decision == "accept"]
    state = _State(tags, rows, known_phrases)
    # Splits come first, so that what leaves a tag does not follow it elsewhere; names come last.
    for action in ("keep", "split", "drop", "merge", "kind", "rename"):
        for row in rows:
            if row.action == action:
                state.apply(row)
    if state.problems:
        raise ValueError("the review cannot be applied:\n" + "\n".join(f"  {p}" for p in state.problems))
    return [dataclasses.replace(tag, tag_id=i) for i, tag in enumerate(state.tags.values())], state.idle


class _State:
    """The tags by the name that the build gave them, while rows are applied."""

    def __init__(self, tags: Sequence[Tag], rows: Iterable[Row], known_phrases: Collection[str]) -> None:
        self.tags: dict[str, Tag] = {normalize(tag.name): tag for tag in tags}
        self.idle: list[Row] = []
        self.problems: list[str] = []
        self._known = known_phrases
        self._renamed = {normalize(row.value): normalize(row.tag) for row in rows if row.action == "rename"}

    def apply(self, row: Row) -> None:
        name = self._key(row.tag)
        if name in self.tags:
            getattr(self, f"_{row.action}")(row, name)
        elif row.action == "merge" and name in self._known and not self._owner(name):
            self._merge(row, name)  # a phrase that is no tag: a misspelling, or a word too rare
        elif name in self._known or self._owner(name):
            self.idle.append(row)
        else:
            self._refuse(
                row,
                f"no tag, caption, vocabulary or dictionary has {row.tag!r}",
                "correct its spelling, or reject the row",
            )

    def _key(self, name: str) -> str:
        plain = normalize(name)
        return plain if plain in self.tags else self._renamed.get(plain, plain)

    def _refuse(self, row: Row, rule: str, remedy: str) -> None:
        self.problems.append(f"{row.where}: {row}: {rule}; {remedy}")

    def _owner(self, phrase: str) -> str | None:
        """The key of the tag that has `phrase` as its name or a synonym."""
        if phrase in self.tags:
            return phrase
        return next((k for k, t in self.tags.items() if phrase in map(normalize, (t.name, *t.synonyms))), None)

    def _split(self, row: Row, name: str) -> None:
        tag = self.tags[name]
        leaving = [part.strip() for part in row.value.split(_SEPARATOR)]
        own = {normalize(synonym): synonym for synonym in tag.synonyms}
        if strangers := [part for part in leaving if normalize(part) not in own]:
            has = ", ".join(tag.synonyms) or "none"
            self._refuse(row, f"{strangers[0]!r} is no synonym of {tag.name!r}", f"choose of its synonyms: {has}")
            return
        gone = {normalize(part) for part in leaving}
        self.tags[name] = dataclasses.replace(tag, synonyms=tuple(s for s in tag.synonyms if normalize(s) not in gone))
        new = own[normalize(leaving[0])]
        rest = tuple(own[normalize(part)] for part in leaving[1:])
        self.tags[normalize(new)] = dataclasses.replace(tag, name=new, synonyms=rest, parents=(), frequency=0)

    def _keep(self, row: Row, name: str) -> None:
        self._kind(row, name)  # the selection has kept it

    def _drop(self, row: Row, name: str) -> None:
        del self.tags[name]

    def _merge(self, row: Row, name: str) -> None:
        target = self._owner(self._key(row.value))
        if target is None:
            self._refuse(row, f"there is no tag {row.value!r}", "name a tag of the label system, or keep it with a row")
        elif target == name:
            self._refuse(row, "that is the tag itself", "name another tag, or reject the row")
        else:
            kept, gone = self.tags[target], self.tags.pop(name, Tag(tag_id=0, name=" ".join(row.tag.lower().split())))
            self.tags[target] = dataclasses.replace(
                kept,
                synonyms=(*kept.synonyms, gone.name, *gone.synonyms),
                sources=tuple(dict.fromkeys((*kept.sources, *gone.sources))),
            )

    def _kind(self, row: Row, name: str) -> None:
        self.tags[name] = dataclasses.replace(self.tags[name], kind=row.value)

    def _rename(self, row: Row, name: str) -> None:
        tag, new = self.tags[name], " ".join(row.value.lower().split())
        plain = normalize(new)
        rivals = [
            t.name for key, t in self.tags.items() if key != name and plain in map(normalize, (t.name, *t.synonyms))
        ]
        if rivals:
            self._refuse(row, f"{new!r} means tag {rivals[0]!r} already", "merge the two, or choose another name")
            return
        synonyms = tuple(s for s in (tag.name, *tag.synonyms) if normalize(s) != plain)
        self.tags[name] = dataclasses.replace(tag, name=new, synonyms=synonyms)
