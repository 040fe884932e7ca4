from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.pipeline.params import from_mapping, load_yaml, stage_params


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 8


@dataclass(frozen=True, kw_only=True)
class Parameters:
    rate: float
    name: str = "a"
    mode: Literal["x", "y"] = "x"
    limit: int | None = None
    sizes: tuple[int, ...] = (1,)
    pair: tuple[int, float] = (1, 2.0)
    inner: Inner = field(default_factory=Inner)
    table: dict[str, float] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate must be above 0, got {self.rate}")


def test_values_become_the_dataclass_with_nested_parts_and_whole_numbers_as_floats() -> None:
    parameters = from_mapping(
        Parameters,
        {"rate": 1, "limit": 3, "sizes": [1, 2], "pair": [1, 2], "inner": {"width": 4}, "table": {"a": 1}},
        "s",
    )
    assert parameters == Parameters(
        rate=1.0, limit=3, sizes=(1, 2), pair=(1, 2.0), inner=Inner(width=4), table={"a": 1.0}
    )
    assert isinstance(parameters.rate, float)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rate": 1.0, "ratte": 2}, ["s: unknown parameter ratte", "known: rate"]),
        ({}, ["missing parameter rate"]),
        ({"rate": "1e-4"}, ["s.rate", "1.0e-4"]),
        ({"rate": 1.0, "mode": "z"}, ["s.mode must be one of x, y", "'z'"]),
        ({"rate": 1.0, "inner": {"depth": 1}}, ["s.inner: unknown parameter depth"]),
        ({"rate": 1.0, "limit": True}, ["s.limit must be int"]),
        ({"rate": 1.0, "sizes": "12"}, ["s.sizes must be a list"]),
        ({"rate": 1.0, "pair": [1]}, ["s.pair must have 2 entries"]),
        ({"rate": -1.0}, ["s: rate must be above 0, got -1.0"]),
        ({"rate": 1.0, "table": [1]}, ["s.table must be a mapping"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_rule(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        from_mapping(Parameters, values, "s")
    assert all(word in str(error.value) for word in words), error.value


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers()))))
def test_any_mapping_gives_the_params_or_a_value_error(values: dict[str, Any]) -> None:
    try:
        assert isinstance(from_mapping(Parameters, values, "s"), Parameters)
    except ValueError as error:
        assert str(error).startswith("s")


def test_a_stage_takes_the_shared_sections_it_has_a_field_for() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Params:
        seed: int
        size: int

    assert stage_params({"seed": 3, "stage": {"size": 1}, "model": {}}, "stage", Params) == Params(seed=3, size=1)
    with pytest.raises(ValueError, match="lacks the section seed"):
        stage_params({"stage": {"size": 1}}, "stage", Params)
    with pytest.raises(ValueError, match="set it at the top level"):
        stage_params({"seed": 3, "stage": {"size": 1, "seed": 4}}, "stage", Params)


def test_a_params_file_that_is_missing_or_no_mapping_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="recipe use"):
        load_yaml(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="mapping of sections"):
        load_yaml(tmp_path / "params.yaml")
