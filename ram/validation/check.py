"""Checks one table: reads it once, evaluates its rules, writes the report and the Data Docs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ram.io.tables import Table
from ram.validation.data_docs import finish
from ram.validation.drift import jensen_shannon, movers
from ram.validation.frames import ImageIndex, column_frame, row_batches
from ram.validation.rows import RowChecks
from ram.validation.rules import Rule
from ram.validation.totals import PairTotals, TagTotals
from ram.validation.validate import Validator


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table is read and shown."""

    rows_per_batch: int
    num_examples: int


def check_table(
    name: str,
    table: Table,
    totals: PairTotals | TagTotals,
    images: ImageIndex,
    rules: Sequence[Rule],
    reference: dict[str, int] | None,
    work_dir: Path,
    reading: Reading,
    describe: Callable[[dict[str, Any]], list[str]] = lambda _: [],
) -> tuple[dict[str, Any], Path]:
    """The report on a table, in the form that the runner reads, and the folder of its Data Docs.

    Rules on rows are left out where the columns are not those of the catalog: they would say the same less clearly.
    `reference` are the tag counts of the last good run; `describe` makes notes of the totals.
    """
    validator = Validator(work_dir / "great_expectations", name, rules, reading.num_examples)
    validator.check("columns", column_frame(table))
    readable = all(result.passed for result in validator.results.values() if result.rule.frame == "columns")
    notes: list[str] = []
    row: dict[str, Any] = {}
    if readable:
        checks = RowChecks(rules, reading.num_examples)
        for batch in row_batches(table, images, reading.rows_per_batch):
            totals.add(batch)
            checks.add(batch)
        validator.check_rows(checks)
        row = totals.row()
        if reference is not None and isinstance(totals, TagTotals):
            row["drift"] = jensen_shannon(totals.frequencies(), reference)
            row["movers"] = movers(totals.frequencies(), reference)
        validator.check("totals", pd.DataFrame([{k: v for k, v in row.items() if k != "movers"}]))
        notes = describe(row)
    else:
        notes = ["The rows were not checked, since the columns are not those of the catalog."]
    report = _report(name, table.num_rows, validator, row, notes)
    return report, finish(validator.write_docs(), report)


def _report(name: str, num_rows: int, validator: Validator, totals: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    results = list(validator.results.values())
    failed = [result for result in results if not result.passed]
    return {
        "table": name,
        "passed": not any(result.rule.severity == "critical" for result in failed),
        "num_rows": num_rows,
        "totals": totals,
        "expectations": [result.to_json() for result in results],
        "failures": [result.sentence() for result in failed if result.rule.severity == "critical"],
        "warnings": [result.sentence() for result in failed if result.rule.severity == "warning"],
        "notes": notes,
    }
