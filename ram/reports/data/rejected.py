"""Examples of what was refused, by reason, with their images where their sources still have them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ram.datasets import Sample, make_sources
from ram.datasets.staging import CAPTION_REASONS
from ram.io.tables import Table

_STAYS = " stays"  # how the detail of a repeat ends: after the image_id of the image that is kept in its place


def count_reasons(table: Table) -> dict[str, int]:
    """Rows by reason, the most frequent first."""
    counts: dict[str, int] = {}
    for batch in table.batches(["reason"]):
        for entry in batch.column("reason").value_counts().to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def first_of_each_reason(quarantine: Table, num: int) -> dict[str, list[dict[str, Any]]]:
    """The first `num` rows of each reason: {"source", "key", "detail", "kept": image_id of the image that stays, or ""}.

    The first, not any, since they lie at the beginning of the sources, which are read for their images.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for batch in quarantine.batches():
        for row in batch.to_pylist():
            own = found.setdefault(row.pop("reason"), [])
            if len(own) < num:
                detail = row["detail"]
                kept = detail.removesuffix(_STAYS) if detail.endswith(_STAYS) else ""
                own.append({**row, "kept": kept})
    return found


def is_accepted(reason: str) -> bool:
    """Whether the image of a row of this reason was accepted, and only a caption of it refused."""
    return reason in CAPTION_REASONS


def read_refused(
    listing: Mapping[str, Any], wanted: set[tuple[str, str]], max_seconds: float
) -> tuple[dict[tuple[str, str], bytes], list[str]]:
    """{(source, key): encoded image} of those that the sources gave in time, and why others are missing."""
    found: dict[tuple[str, str], bytes] = {}
    notes: list[str] = []
    sources = make_sources([entry["description"] for entry in listing["sources"]])
    end = time.monotonic() + max_seconds
    for source, entry in zip(sources, listing["sources"], strict=True):
        own = {key for name, key in wanted if name == source.name}
        if not own:
            continue
        try:
            for chunk in source.chunks([file["path"] for file in entry["files"]]):
                for sample in source.read(chunk):
                    if isinstance(sample, Sample) and sample.key in own:
                        found[source.name, sample.key] = sample.image
                        own.discard(sample.key)
                    if not own or time.monotonic() > end:
                        break
                if not own or time.monotonic() > end:
                    break
        except (OSError, ValueError) as error:  # the source may be gone since it was read: the page says so
            notes.append(f"{source.name} cannot be read any more: {error}")
        if own and time.monotonic() > end:
            notes.append(f"{source.name} was read for {max_seconds:.0f} s; images further in are not shown")
    return found, notes
