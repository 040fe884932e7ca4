from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.training.metrics import average_precision, mean_average_precision


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_average_precision_is_that_of_scikit_learn_also_with_ties(rows: list[tuple[int, bool]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, positive = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    if positive.any():
        expected = sklearn.average_precision_score(positive, scores)
        assert average_precision(scores, positive) == pytest.approx(expected)


def test_a_tag_without_positives_has_no_value_and_does_not_count_in_the_mean() -> None:
    positive = np.array([[1, 0], [0, 0]], bool)
    scores = np.array([[0.1, 0.5], [0.9, 0.2]])
    assert np.isnan(average_precision(scores[:, 1], positive[:, 1]))
    assert mean_average_precision(scores, positive) == pytest.approx(0.5)
    assert np.isnan(mean_average_precision(scores[:, 1:], positive[:, 1:]))
