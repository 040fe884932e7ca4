"""What changed from one label system to another: which tags came, went, were renamed, merged, split or re-sorted."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ram.labels import LabelSystem, Tag
from ram.labels.forms import normalize

MIN_RATIO, MIN_MENTIONS = 1.25, 5  # a frequency that moved less, in both senses, is not told
MIN_THRESHOLD_MOVE = 0.05


@dataclass(frozen=True, kw_only=True)
class LabelDiff:
    """The changes, by names of tags; a change of a tag that was renamed goes by its new name.

    `merged` is (tag, the tag that its name now means), `split` (new tag, the tag that its name meant before).
    """

    versions: tuple[str, str]
    num_tags: tuple[int, int]
    added: list[str]
    removed: list[str]
    renamed: list[tuple[str, str]]
    merged: list[tuple[str, str]]
    split: list[tuple[str, str]]
    kind: dict[str, tuple[str, str]]
    parents: dict[str, tuple[list[str], list[str]]]
    synonyms: dict[str, tuple[list[str], list[str]]]  # lost, gained
    frequency: dict[str, tuple[int, int]]
    threshold: dict[str, tuple[float, float]]
    num_ids_moved: int  # tags that both have under another id: tables and models of the one do not fit the other

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dataclasses.asdict(self)


def diff(before: LabelSystem, after: LabelSystem) -> LabelDiff:
    """The changes from `before` to `after`."""
    pairs = _pairs(before, after)
    old_left = [tag for tag in before if tag.tag_id not in {a.tag_id for a, _ in pairs}]
    new_left = [tag for tag in after if tag.tag_id not in {b.tag_id for _, b in pairs}]
    meant_after, meant_before = _meanings(after), _meanings(before)
    merged = [(old.name, tag.name) for old in old_left if (tag := meant_after.get(normalize(old.name)))]
    split = [(new.name, tag.name) for new in new_left if (tag := meant_before.get(normalize(new.name)))]
    gone_names, new_names = {name for name, _ in merged}, {name for name, _ in split}
    return LabelDiff(
        versions=(before.version, after.version),
        num_tags=(len(before), len(after)),
        added=[tag.name for tag in new_left if tag.name not in new_names],
        removed=[tag.name for tag in old_left if tag.name not in gone_names],
        renamed=[(a.name, b.name) for a, b in pairs if a.name != b.name],
        merged=merged,
        split=split,
        kind={b.name: (a.kind, b.kind) for a, b in pairs if a.kind != b.kind},
        parents={b.name: (list(a.parents), list(b.parents)) for a, b in pairs if a.parents != b.parents},
        synonyms={b.name: change for a, b in pairs if any(change := _synonyms(a, b))},
        frequency={b.name: (a.frequency, b.frequency) for a, b in pairs if _moved(a.frequency, b.frequency)},
        threshold=dict(_thresholds(pairs)),
        num_ids_moved=sum(a.tag_id != b.tag_id for a, b in pairs),
    )


def _phrases(tag: Tag) -> set[str]:
    return {normalize(name) for name in (tag.name, *tag.synonyms)}


def _meanings(tags: LabelSystem) -> dict[str, Tag]:
    return {phrase: tag for tag in tags for phrase in _phrases(tag)}


def _pairs(before: LabelSystem, after: LabelSystem) -> list[tuple[Tag, Tag]]:
    """The tags that are the same: of one name, or, of the others, those that share most phrases, one of them a name."""
    by_name = {normalize(tag.name): tag for tag in after}
    pairs = [(tag, by_name[name]) for tag in before if (name := normalize(tag.name)) in by_name]
    old = {tag.tag_id: tag for tag in before}
    new = {tag.tag_id: tag for tag in after}
    for a, b in pairs:
        del old[a.tag_id], new[b.tag_id]
    meant = defaultdict(list)
    for tag in new.values():
        for phrase in _phrases(tag):
            meant[phrase].append(tag)
    rivals = [
        (-len(_phrases(a) & _phrases(b)), a.tag_id, b.tag_id)
        for a in old.values()
        for b in {tag.tag_id: tag for phrase in _phrases(a) for tag in meant[phrase]}.values()
        if normalize(a.name) in _phrases(b) or normalize(b.name) in _phrases(a)
    ]
    for _, a_id, b_id in sorted(rivals):
        if a_id in old and b_id in new:
            pairs.append((old.pop(a_id), new.pop(b_id)))
    return sorted(pairs, key=lambda pair: pair[1].tag_id)


def _synonyms(a: Tag, b: Tag) -> tuple[list[str], list[str]]:
    lost, gained = _phrases(a) - _phrases(b), _phrases(b) - _phrases(a)
    return sorted(lost), sorted(gained)


def _moved(a: int, b: int) -> bool:
    return abs(a - b) >= MIN_MENTIONS and max(a, b) >= MIN_RATIO * min(a, b)


def _thresholds(pairs: Sequence[tuple[Tag, Tag]]) -> Iterator[tuple[str, tuple[float, float]]]:
    for a, b in pairs:
        if a.threshold is not None and b.threshold is not None and abs(a.threshold - b.threshold) >= MIN_THRESHOLD_MOVE:
            yield b.name, (a.threshold, b.threshold)


def describe(change: LabelDiff, num_shown: int = 20) -> str:
    """The changes as text: a heading with its count, and `num_shown` lines of each sort at most."""
    sorts: Mapping[str, list[str]] = {
        "added": change.added,
        "removed": change.removed,
        "renamed": [f"{a} -> {b}" for a, b in change.renamed],
        "merged": [f"{a} into {b}" for a, b in change.merged],
        "split": [f"{a} from {b}" for a, b in change.split],
        "kind": [f"{name}: {a} -> {b}" for name, (a, b) in change.kind.items()],
        "parents": [f"{name}: {_list(a)} -> {_list(b)}" for name, (a, b) in change.parents.items()],
        "synonyms": [
            f"{name}: {' '.join([*(f'-{s!r}' for s in lost), *(f'+{s!r}' for s in gained)])}"
            for name, (lost, gained) in change.synonyms.items()
        ],
        "frequency": [f"{name}: {a} -> {b}" for name, (a, b) in _by_ratio(change.frequency)],
        "threshold": [f"{name}: {a:.3f} -> {b:.3f}" for name, (a, b) in change.threshold.items()],
    }
    lines = [
        f"label system {change.versions[0]} ({change.num_tags[0]} tags) -> {change.versions[1]} ({change.num_tags[1]})"
    ]
    for sort, entries in sorts.items():
        if entries:
            lines += [f"{sort} ({len(entries)})", *(f"  {entry}" for entry in entries[:num_shown])]
            lines += [f"  … and {len(entries) - num_shown} more"] if len(entries) > num_shown else []
    if change.num_ids_moved:
        lines.append(f"{change.num_ids_moved} tags have another id")
    return "\n".join(lines if len(lines) > 1 else [*lines, "nothing changed"])


def _by_ratio(frequency: Mapping[str, tuple[int, int]]) -> list[tuple[str, tuple[int, int]]]:
    return sorted(frequency.items(), key=lambda item: -(max(item[1]) + 1) / (min(item[1]) + 1))


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
