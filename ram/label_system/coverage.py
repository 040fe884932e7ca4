"""How much of a vocabulary a label system has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ram.label_system import LabelSystem
from ram.label_system.forms import normalise
from ram.label_system.vocabulary import Vocabulary

_KIND = {"noun": "object", "action": "action", "any": None}  # what an entry is looked up as


def coverage(
    label_system: LabelSystem, vocabulary: Vocabulary, mentions: Mapping[str, int], num_shown: int
) -> dict[str, Any]:
    """Counts of the entries that are tags by their own name, that a tag has as synonym, plural or other spelling, and
    that none has; the share found, and the share of the captions' mentions of the entries that is of ones found.

    `mentions`: phrase -> captions. `mention_share` is None where no caption has an entry. `missing` are `num_shown`
    at most, the most mentioned first.
    """
    ways: Counter[str] = Counter()
    found = total = 0
    missing: list[tuple[int, str]] = []
    for entry in vocabulary.entries:
        name = normalise(entry[0])
        tag = label_system.find(name, _KIND[vocabulary.kind])
        ways["missing" if tag is None else "exact" if normalise(tag.name) == name else "synonym"] += 1
        total += mentions.get(name, 0)
        if tag is None:
            missing.append((-mentions.get(name, 0), entry[0]))
        else:
            found += mentions.get(name, 0)
    return {
        "num_names": len(vocabulary.entries),
        "num_found": ways["exact"] + ways["synonym"],
        "num_exact": ways["exact"],
        "num_synonym": ways["synonym"],
        "num_missing": ways["missing"],
        "share": (ways["exact"] + ways["synonym"]) / max(len(vocabulary.entries), 1),
        "num_mentions": total,
        "mention_share": found / total if total else None,
        "missing": [name for _, name in sorted(missing)[:num_shown]],
    }
