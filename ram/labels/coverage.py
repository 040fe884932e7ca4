"""How much of a vocabulary a label system has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ram.labels import LabelSystem
from ram.labels.forms import normalize
from ram.labels.vocabulary import Vocabulary
from ram.pipeline.catalog import KINDS

_KIND = {"noun": "object", "action": "action", "any": None}  # what an entry is looked up as
_KINDS = {"noun": ("object", "scene"), "action": ("action",), "any": KINDS}


def coverage(
    label_system: LabelSystem, vocabulary: Vocabulary, counts: Mapping[tuple[str, str], int], num_shown: int
) -> dict[str, Any]:
    """Counts of the entries that are tags by their own name, that a tag has as synonym, plural or other spelling, and
    that none has; the share found, and the share of the captions' mentions of the entries that is of ones found.

    `counts`: (phrase, kind) -> captions; those of the vocabulary's kind count. `mention_share` is None where no caption
    has an entry. `missing` are `num_shown` at most, the most mentioned first.
    """
    ways: Counter[str] = Counter()
    found = total = 0
    missing: list[tuple[int, str]] = []
    for entry in vocabulary.entries:
        name = normalize(entry[0])
        tag = label_system.find(name, _KIND[vocabulary.kind])
        ways["missing" if tag is None else "exact" if normalize(tag.name) == name else "synonym"] += 1
        mentions = sum(counts.get((name, kind), 0) for kind in _KINDS[vocabulary.kind])
        total += mentions
        if tag is None:
            missing.append((-mentions, entry[0]))
        else:
            found += mentions
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
