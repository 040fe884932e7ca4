from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.validation.drift import Profiles, jensen_shannon, movers

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000), min_size=1)


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_the_divergence_is_that_of_scipy(counts: dict[str, int], reference: dict[str, int]) -> None:
    from scipy.spatial.distance import jensenshannon

    names = sorted(counts | reference)
    p, q = ([c.get(n, 0) for n in names] for c in (counts, reference))
    assert jensen_shannon(counts, reference) == pytest.approx(np.nan_to_num(jensenshannon(p, q, base=2)) ** 2, abs=1e-9)


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_the_divergence_is_symmetric_and_between_0_and_1(counts: dict[str, int], reference: dict[str, int]) -> None:
    assert jensen_shannon(counts, reference) == pytest.approx(jensen_shannon(reference, counts))
    assert 0 <= jensen_shannon(counts, reference) <= 1


def test_equal_distributions_do_not_diverge_and_disjoint_ones_do_by_a_whole_bit() -> None:
    assert jensen_shannon({"a": 1, "b": 2}, {"a": 10, "b": 20}) == pytest.approx(0)
    assert jensen_shannon({"a": 1}, {"b": 1}) == 1
    assert jensen_shannon({}, {"b": 1}) == 1


def test_movers_name_the_tags_that_changed_most() -> None:
    assert [m["tag"] for m in movers({"a": 5, "b": 5, "c": 10}, {"a": 9, "b": 1, "c": 10}, num=2)] == ["a", "b"]


def test_a_profile_is_kept_for_each_set_of_sources(tmp_path) -> None:
    Profiles(tmp_path, ["x"]).write("first", {"dog": 3})
    assert Profiles(tmp_path, ["x"]).read("second") == {"dog": 3}
    assert Profiles(tmp_path, ["x", "y"]).read("second") is None


def test_a_table_is_compared_with_the_run_before_its_own(tmp_path) -> None:
    profiles = Profiles(tmp_path, ["x"])
    for content, counts, reference in (
        ("first", {"dog": 3}, None),
        ("first", {"dog": 3}, None),
        ("second", {"dog": 4}, {"dog": 3}),
        ("second", {"dog": 4}, {"dog": 3}),
        ("first", {"dog": 3}, {"dog": 4}),
        ("first", {"dog": 3}, {"dog": 4}),
    ):
        assert profiles.read(content) == reference
        profiles.write(content, counts)
