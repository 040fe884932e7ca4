from __future__ import annotations

import pyarrow as pa
import pytest

from ram.pipeline.catalog import CATALOG, CHECKED_TABLES
from ram.validation.suites import (
    PairBounds,
    RemovalBounds,
    TagBounds,
    removal_rules,
    schema_rules,
    soften,
    table_name,
    tag_rules,
)

BOUNDS = TagBounds(
    min_rows=1,
    min_mean_tags=0,
    max_mean_tags=10,
    max_tags=50,
    max_share_without_tags=1,
    max_share_of_one_tag=1,
    max_drift=0.1,
)


@pytest.mark.parametrize("name", CHECKED_TABLES)
def test_every_column_that_may_not_be_null_has_a_rule(name: str) -> None:
    schema = CATALOG[name].schema
    rules = {rule.name for rule in schema_rules(schema)}
    assert {f"{column.name}_present" for column in schema if not column.nullable} <= rules


@pytest.mark.parametrize("name", CHECKED_TABLES)
def test_a_table_is_known_by_its_schema(name: str) -> None:
    assert table_name(CATALOG[name].schema) == name


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="no checked table has the columns"):
        table_name(pa.schema([("a", pa.int8())]))


def test_boxes_and_fractions_are_bounded() -> None:
    rules = {rule.name for rule in schema_rules(CATALOG["cleaned_tags"].schema)}
    assert {
        "x0_range",
        "y1_range",
        "x0_before_x1",
        "y0_before_y1",
        "score_range",
        "reason_known",
        "origin_known",
    } <= rules


def test_drift_is_a_rule_only_with_a_good_run_to_compare_with() -> None:
    assert "tag_drift" not in {rule.name for rule in tag_rules(BOUNDS, 3, has_reference=False)}
    assert "tag_drift" in {rule.name for rule in tag_rules(BOUNDS, 3, has_reference=True)}


def test_softened_rules_only_warn() -> None:
    rules = soften(removal_rules(RemovalBounds(min_share=0, max_share=0.3)), ["share_removed"])
    assert {rule.severity for rule in rules if rule.name == "share_removed"} == {"warning"}
    assert {rule.severity for rule in rules if rule.name != "share_removed"} == {"critical"}


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="max_share_of_one_caption must lie between 0 and 1, got 2"):
        PairBounds(min_rows=1, max_captions=5, max_share_of_one_caption=2, max_share_refused=0.1)
    with pytest.raises(ValueError, match="exceeds"):
        RemovalBounds(min_share=0.5, max_share=0.1)
