"""How many tags each step made: parsed, generated, cleaned; by origin, and by reason where they were removed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from ram.io.tables import Table
from ram.pipeline.catalog import ORIGINS


def count_by_origin(table: Table, train: pd.Index) -> dict[str, int]:
    """Rows of each origin on images of split train, in the catalog's order."""
    counts: Counter[str] = Counter()
    for batch in table.batches(["image_id", "origin"]):
        rows = batch.to_pandas()
        counts.update(rows["origin"].astype(str)[train.get_indexer(pd.Index(rows["image_id"])) >= 0].tolist())
    return {origin: counts[origin] for origin in ORIGINS if counts[origin]}


def count_cleaned(table: Table) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Rows that were kept by origin, rows removed by origin, rows removed by reason."""
    kept: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for batch in table.batches(["origin", "kept", "reason"]):
        origins, keeps, why = (batch[name].to_pylist() for name in ("origin", "kept", "reason"))
        for origin, keep, reason in zip(origins, keeps, why, strict=True):
            (kept if keep else removed)[origin] += 1
            if not keep:
                reasons[reason] += 1
    in_order = [{o: counter[o] for o in ORIGINS if counter[o]} for counter in (kept, removed)]
    return in_order[0], in_order[1], dict(reasons.most_common())


def funnel(images: Table, parsed: Table, generated: Table, cleaned: Table) -> dict[str, Any]:
    """{"steps": [{"name", "total", "parts": {origin: rows}, "removed"}], "reasons", "removed_by_origin"}.

    The parser reads the captions of every split, the data engine works on train: counted are rows of train.
    """
    splits = images.to_pandas(["image_id", "split"])
    train = pd.Index(splits["image_id"][splits["split"] == "train"])
    kept, removed, reasons = count_cleaned(cleaned)
    rows = [
        ("parsed", count_by_origin(parsed, train), 0),
        ("generated", count_by_origin(generated, train), 0),
        ("cleaned", kept, sum(removed.values())),
    ]
    steps = [
        {"name": name, "total": sum(parts.values()), "parts": parts, "removed": gone} for name, parts, gone in rows
    ]
    return {"steps": steps, "reasons": reasons, "removed_by_origin": removed}
