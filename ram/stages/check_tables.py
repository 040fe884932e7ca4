"""A table -> its check: does it obey its schema, the rules of the data, the bounds of params.yaml, and its own past?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ram.io.tables import Table, content_hash
from ram.labels import LabelSystem
from ram.validation.check import Reading, check_table
from ram.validation.drift import Profiles
from ram.validation.frames import ImageIndex
from ram.validation.keys import KeyCounter
from ram.validation.rules import Rule
from ram.validation.suites import (
    PairBounds,
    RemovalBounds,
    TagBounds,
    pair_rules,
    removal_rules,
    schema_rules,
    soften,
    table_name,
    tag_rules,
)
from ram.validation.totals import PairTotals, TagTotals

ITEMS: dict[str, dict[str, str | None]] = {
    "pairs": {"table": "pairs", "label_system": None, "report": "pairs_check", "docs": "pairs_docs"},
    "parsed_tags": {
        "table": "parsed_tags",
        "quarantine": None,
        "report": "parsed_tags_check",
        "docs": "parsed_tags_docs",
    },
    "generated_tags": {
        "table": "generated_tags",
        "quarantine": None,
        "report": "generated_tags_check",
        "docs": "generated_tags_docs",
    },
    "cleaned_tags": {
        "table": "cleaned_tags",
        "quarantine": None,
        "report": "cleaned_tags_check",
        "docs": "cleaned_tags_docs",
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    pairs: PairBounds
    parsed_tags: TagBounds
    generated_tags: TagBounds
    cleaned_tags: TagBounds
    removed: RemovalBounds  # by the cleaning
    warn_only: tuple[str, ...] = ()  # rules that are reported but do not stop the stages that consume the table
    rows_per_batch: int = 2_000_000  # rows in memory at a time, at most
    num_examples: int = 5  # rows shown of those that break a rule

    def __post_init__(self) -> None:
        if self.rows_per_batch < 1 or self.num_examples < 1:
            raise ValueError(
                f"rows_per_batch and num_examples must be at least 1, got {self.rows_per_batch}, {self.num_examples}"
            )


class Inputs(NamedTuple):
    table: Table
    images: Table
    label_system: dict[str, Any] | None  # None for pairs, which come before it
    quarantine: Table | None  # for pairs alone
    state: Path
    scratch: Path


class Outputs(NamedTuple):
    report: dict[str, Any]
    docs: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    name = table_name(inputs.table.schema)
    images = ImageIndex(inputs.images)
    reading = Reading(rows_per_batch=params.rows_per_batch, num_examples=params.num_examples)
    _require_known(params)
    schema = schema_rules(inputs.table.schema)
    if inputs.label_system is None:
        rules = soften([*schema, *pair_rules(params.pairs)], params.warn_only)
        assert inputs.quarantine is not None
        keys, captions = (KeyCounter(inputs.scratch / n, inputs.table.num_rows) for n in ("keys", "captions"))
        totals = PairTotals(images, keys, captions, num_refused=inputs.quarantine.num_rows)
        return Outputs(*check_table(name, inputs.table, totals, images, rules, None, inputs.scratch, reading))

    names = LabelSystem.from_json(inputs.label_system).names
    bounds: TagBounds = getattr(params, name)
    profiles = Profiles(inputs.state, images.sources)
    content = content_hash(inputs.table.path)
    reference = profiles.read(content) if bounds.max_drift is not None else None
    rules = [*schema, *tag_rules(bounds, len(names), has_reference=reference is not None)]
    if name == "cleaned_tags":
        rules += removal_rules(params.removed)
    tag_totals = TagTotals(images, names, KeyCounter(inputs.scratch / "keys", inputs.table.num_rows))
    report, docs = check_table(
        name, inputs.table, tag_totals, images, soften(rules, params.warn_only), reference, inputs.scratch, reading,
        describe=lambda row: _notes(row, bounds, reference),
    )  # fmt: skip
    if report["passed"]:
        profiles.write(content, tag_totals.frequencies())
    return Outputs(report, docs)


def _notes(row: dict[str, Any], bounds: TagBounds, reference: dict[str, int] | None) -> list[str]:
    notes = [f"The most frequent tag is “{row['most_frequent_tag']}”."]
    if bounds.max_drift is None:
        return [*notes, "Drift is not checked: max_drift is null."]
    if reference is None:
        return [*notes, "First good run over these sources: there is nothing yet to measure drift against."]
    shown = ", ".join(f"{m['tag']} {m['reference_share']:.2%} -> {m['share']:.2%}" for m in row["movers"])
    return [*notes, f"Drift against the last good run: {row['drift']:.4f} bits; most moved: {shown}."]


def _require_known(params: Params) -> None:
    """`ValueError` for a name in `warn_only` that no table has as a rule."""
    from ram.pipeline.catalog import CATALOG, CHECKED_TABLES

    rules: list[Rule] = [*pair_rules(params.pairs), *removal_rules(params.removed)]
    rules += tag_rules(params.cleaned_tags, 1, has_reference=True)
    for table in CHECKED_TABLES:
        rules += schema_rules(CATALOG[table].schema)
    known = {rule.name for rule in rules} | {"tag_drift"}
    if unknown := set(params.warn_only) - known:
        raise ValueError(f"warn_only: no rule called {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
