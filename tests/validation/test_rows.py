"""The counts on Arrow columns are those of Great Expectations on pandas, rule by rule."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ram.pipeline.catalog import CATALOG
from ram.validation.frames import RowBatch
from ram.validation.rows import RowChecks
from ram.validation.rules import Rule
from ram.validation.suites import (
    PairBounds,
    RemovalBounds,
    TagBounds,
    pair_rules,
    removal_rules,
    schema_rules,
    tag_rules,
)
from ram.validation.validate import _expectation

TAG_BOUNDS = TagBounds(
    min_rows=1,
    min_mean_tags=1,
    max_mean_tags=9,
    max_tags=9,
    max_share_without_tags=1,
    max_share_of_one_tag=1,
    max_drift=None,
)
PAIR_BOUNDS = PairBounds(min_rows=1, max_captions=5, max_share_of_one_caption=1, max_share_refused=1)
RULES = {
    "cleaned_tags": [
        *schema_rules(CATALOG["cleaned_tags"].schema),
        *tag_rules(TAG_BOUNDS, 3, has_reference=False),
        *removal_rules(RemovalBounds(min_share=0, max_share=1)),
    ],
    "pairs": [*schema_rules(CATALOG["pairs"].schema), *pair_rules(PAIR_BOUNDS)],
}
CAPTIONS = ["a dog", "", "...", "_", "犬", "é", "٣", " \n ", "½", "!?", None]


def random_batch(table: str, num_rows: int, seed: int) -> RowBatch:
    """Columns of the table's types with values within and without what the rules allow, nulls and NaNs among them."""
    generator = np.random.default_rng(seed)

    def pick(values: list[Any], dtype: pa.DataType) -> pa.Array:
        return pa.array([values[i] for i in generator.integers(0, len(values), num_rows)], dtype)

    texts = {
        "origin": ["caption", "human", "guess", None], "reason": ["cluster_outlier", "mood", None],
        "split": ["train", "nowhere", None], "caption": CAPTIONS,
    }  # fmt: skip
    columns: dict[str, pa.Array] = {}
    for column in CATALOG[table].schema:
        if pa.types.is_floating(column.type):
            columns[column.name] = pick([-0.1, 0.0, 0.4, 1.0, 1.1, float("nan"), float("inf"), None], column.type)
        elif pa.types.is_integer(column.type):
            columns[column.name] = pick([-1, 0, 2, 3], column.type)
        elif pa.types.is_boolean(column.type):
            columns[column.name] = pick([True, False], column.type)
        else:
            plain = pick(texts.get(column.name, ["x", "y", None]), pa.string())
            columns[column.name] = plain if column.name == "caption" else plain.dictionary_encode()
    columns |= {name: pick([True, False], pa.bool_()) for name in ("image_known", "split_agrees")}
    return RowBatch(columns=columns, positions=np.zeros(num_rows, np.int64))


@pytest.mark.parametrize("table", RULES)
def test_every_rule_counts_what_great_expectations_counts(table: str) -> None:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    batches = [random_batch(table, 40, seed) for seed in range(2)]
    rules = [rule for rule in RULES[table] if rule.frame == "rows"]
    checks = RowChecks(rules, num_examples=5)
    for batch in batches:
        checks.add(batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        definition = (
            context.data_sources.add_pandas("rows")
            .add_dataframe_asset("rows")
            .add_batch_definition_whole_dataframe("all")
        )
        expected = dict.fromkeys(checks.num_unexpected, 0)
        for batch in batches:
            whole = definition.get_batch({"dataframe": batch.frame(np.arange(len(batch)))})
            for rule in rules:
                found = whole.validate(_expectation(rule), result_format="SUMMARY")
                assert not found.exception_info.get("raised_exception"), rule.name
                expected[rule.name] += found.result.get("unexpected_count", 0)
    assert checks.num_unexpected == expected
    assert sum(count > 0 for count in expected.values()) >= len(rules) - 3, "the data break nearly every rule"


def test_every_expectation_of_a_rule_on_rows_has_its_counterpart_and_enough_witnesses() -> None:
    batch = random_batch("cleaned_tags", 400, 9)
    rules = [rule for rule in RULES["cleaned_tags"] if rule.frame == "rows"]
    checks = RowChecks(rules, num_examples=3)
    checks.add(batch)
    found = RowChecks(rules, num_examples=3)
    frame = checks.witnesses()
    assert 100 <= len(frame) <= 100 + 3 * len(rules)
    again = {
        name: pa.array([None if pd.isna(value) else value for value in frame[name]], column.type)
        for name, column in batch.columns.items()
    }
    found.add(RowBatch(columns=again, positions=np.zeros(len(frame), np.int64)))
    for rule in rules:
        assert found.num_unexpected[rule.name] >= min(checks.num_unexpected[rule.name], 3), rule.name


def test_a_rule_with_a_condition_counts_the_rows_that_meet_it() -> None:
    rule = Rule(
        name="r", description="", frame="rows", expectation="ExpectColumnValuesToBeNull", arguments={"column": "reason"},
        where=("kept", True),
    )  # fmt: skip
    columns = {
        "kept": pa.array([True, True, False, None]),
        "reason": pa.array(["x", None, "x", "x"]).dictionary_encode(),
    }
    checks = RowChecks([rule], num_examples=1)
    checks.add(RowBatch(columns=columns, positions=np.zeros(4, np.int64)))
    assert (checks.num_checked, checks.num_unexpected) == ({"r": 2}, {"r": 1})
