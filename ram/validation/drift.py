"""How far the tags of this run are from those of the last good one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ram.io.tables import read_json, write_json


def jensen_shannon(counts: Mapping[str, int], reference: Mapping[str, int]) -> float:
    """Jensen–Shannon divergence of two tag distributions in bits: 0 equal … 1 no tag in common (Lin 1991)."""
    names = sorted(counts.keys() | reference.keys())
    p, q = (np.array([c.get(name, 0) for name in names], dtype=np.float64) for c in (counts, reference))
    if not p.sum() or not q.sum():
        return 0.0 if p.sum() == q.sum() else 1.0
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float(np.clip((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2, 0, 1))


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    present = p > 0
    return float((p[present] * np.log2(p[present] / q[present])).sum())


def movers(counts: Mapping[str, int], reference: Mapping[str, int], num: int = 5) -> list[dict[str, Any]]:
    """The tags whose share of all rows changed most: {"tag", "share", "reference_share"}."""
    total, before = max(sum(counts.values()), 1), max(sum(reference.values()), 1)
    shares = {n: (counts.get(n, 0) / total, reference.get(n, 0) / before) for n in counts.keys() | reference.keys()}
    ranked = sorted(shares.items(), key=lambda item: (-abs(item[1][0] - item[1][1]), item[0]))[:num]
    return [{"tag": n, "share": round(now, 6), "reference_share": round(then, 6)} for n, (now, then) in ranked]


class Profiles:
    """The tag frequencies of the last good run, and of the one before, one file a set of sources.

    A recipe over other sources has other tags by design: it is compared with its own last run, not with that of
    another recipe. A table that was the last run's own is compared with the run before it: the same table gives the same
    report, also where a run was killed between its profile and its report.
    """

    def __init__(self, directory: Path, sources: Sequence[str]) -> None:
        digest = hashlib.sha256(json.dumps(sorted(sources)).encode()).hexdigest()[:12]
        self._path = directory / f"tag_frequencies-{digest}.json"
        self._sources = sorted(sources)

    def read(self, content: str) -> dict[str, int] | None:
        """Counts by tag name of the last good run over another table than that of `content`; None before the first."""
        last = read_json(self._path) if self._path.is_file() else {}
        counts: dict[str, int] | None = last.get("before" if last.get("content") == content else "counts")
        return counts

    def write(self, content: str, counts: Mapping[str, int]) -> None:
        """Note a good run over the table of `content`."""
        before = self.read(content)
        write_json({"sources": self._sources, "content": content, "counts": dict(counts), "before": before}, self._path)
