"""Rules on rows, evaluated on Arrow batches: how many rows break each, and a few of them for Great Expectations to see.

Great Expectations on pandas takes 4 CPU seconds for a million rows. Here each of its expectations that the rules use has a
counterpart of the same meaning on Arrow columns, nulls and NaNs left alone as it leaves them; the rows that are found, and
the first of the table, then go to Great Expectations, which must come to the same verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ram.validation.frames import RowBatch
from ram.validation.rules import Rule

_HEAD = 100  # first rows of the table that are shown whatever they are like
_WORD = r"[\p{L}\p{N}_]"  # what \w means to Python; to RE2 it is ASCII alone

Arguments = Mapping[str, Any]


class RowChecks:
    """Counts over the batches of a table; `num_checked` and `num_unexpected` are by the rule's name."""

    def __init__(self, rules: Sequence[Rule], num_examples: int) -> None:
        self._rules = [rule for rule in rules if rule.frame == "rows"]
        self._num_examples = num_examples
        self._num_rows = 0
        self.num_checked = {rule.name: 0 for rule in self._rules}
        self.num_unexpected = {rule.name: 0 for rule in self._rules}
        self._witnesses: list[pd.DataFrame] = []

    def add(self, batch: RowBatch) -> None:
        shown = np.zeros(len(batch), dtype=bool)
        shown[: max(_HEAD - self._num_rows, 0)] = True
        for rule in self._rules:
            broken = BROKEN[rule.expectation](batch, rule.arguments)
            num_checked = len(batch)
            if rule.where is not None:
                applies = _equals(batch, *rule.where)
                broken = None if broken is None else broken & applies
                num_checked = int(np.count_nonzero(applies))
            self.num_checked[rule.name] += num_checked
            if broken is not None:
                rows = np.flatnonzero(broken)
                room = max(self._num_examples - self.num_unexpected[rule.name], 0)
                shown[rows[:room]] = True
                self.num_unexpected[rule.name] += len(rows)
        self._num_rows += len(batch)
        if shown.any():
            self._witnesses.append(batch.frame(np.flatnonzero(shown)))

    def witnesses(self) -> pd.DataFrame:
        """The first rows of the table, and of those that break each rule, in order."""
        return pd.concat(self._witnesses, ignore_index=True) if self._witnesses else pd.DataFrame()


def _equals(batch: RowBatch, column: str, value: Any) -> np.ndarray:
    """Which rows have the value; a null has none."""
    if isinstance(value, bool):
        flags = batch.columns[column]
        return pc.fill_null(pc.equal(flags, value), False).to_numpy(zero_copy_only=False)
    return _in_set(batch.columns[column], [value])


def _in_set(column: pa.Array, values: Sequence[Any]) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        known = np.append(pc.is_in(column.dictionary, pa.array(values)).to_numpy(zero_copy_only=False), False)
        return known[pc.fill_null(column.indices.cast(pa.int64()), len(known) - 1).to_numpy()]
    return pc.is_in(column, pa.array(values)).to_numpy(zero_copy_only=False)


# Each gives which rows break the expectation, or None where none does: most columns are as they should be.


def _null(batch: RowBatch, arguments: Arguments) -> np.ndarray | None:
    column = batch.columns[arguments["column"]]
    if pa.types.is_floating(column.type):
        missing = np.isnan(batch.numbers(arguments["column"]))  # to pandas a NaN is missing, too
        return missing if missing.any() else None
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None


def _not_null(batch: RowBatch, arguments: Arguments) -> np.ndarray | None:
    missing = _null(batch, arguments)
    return np.ones(len(batch), dtype=bool) if missing is None else ~missing


def _not_in_set(batch: RowBatch, arguments: Arguments) -> np.ndarray | None:
    column = batch.columns[arguments["column"]]
    unknown = ~_in_set(column, arguments["value_set"])
    if column.null_count:
        unknown &= column.is_valid().to_numpy(zero_copy_only=False)
    return unknown if unknown.any() else None


def _outside(batch: RowBatch, arguments: Arguments) -> np.ndarray | None:
    values = batch.numbers(arguments["column"])
    inside = np.ones(len(values), dtype=bool)
    if (low := arguments.get("min_value")) is not None:
        inside &= values >= low
    if (high := arguments.get("max_value")) is not None:
        inside &= values <= high
    return None if inside.all() else ~inside & ~np.isnan(values)


def _no_match(batch: RowBatch, arguments: Arguments) -> np.ndarray | None:
    column = batch.columns[arguments["column"]]
    pattern = re.sub(r"\\w", lambda _: _WORD, arguments["regex"])
    matches = pc.fill_null(pc.match_substring_regex(column, pattern), True).to_numpy(zero_copy_only=False)
    return None if matches.all() else ~matches


def _not_greater(batch: RowBatch, arguments: Arguments) -> np.ndarray | None:
    first, second = (batch.numbers(arguments[name]) for name in ("column_A", "column_B"))
    assert arguments["or_equal"], "the counterpart is of >= alone"
    broken = first < second  # false where either is missing
    return broken if broken.any() else None


BROKEN: dict[str, Callable[[RowBatch, Arguments], np.ndarray | None]] = {
    "ExpectColumnValuesToNotBeNull": _null,
    "ExpectColumnValuesToBeNull": _not_null,
    "ExpectColumnValuesToBeInSet": _not_in_set,
    "ExpectColumnValuesToBeBetween": _outside,
    "ExpectColumnValuesToMatchRegex": _no_match,
    "ExpectColumnPairValuesAToBeGreaterThanB": _not_greater,
}
