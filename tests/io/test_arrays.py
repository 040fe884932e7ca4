from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.io.arrays import Ragged, RowIndex, Texts


def test_texts_come_back_by_number_from_a_copy_in_another_process_as_well(tmp_path: Path) -> None:
    texts = Texts.write(tmp_path / "texts", [["a dog", "", "Zürich"], [], ["犬"]])
    assert len(texts) == 4
    assert texts.take([3, 2, 1, 0]) == ["犬", "Zürich", "", "a dog"]
    assert pickle.loads(pickle.dumps(texts)).take([2]) == ["Zürich"]
    assert len(Texts.write(tmp_path / "none", [])) == 0


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(0, 6), max_size=40), cut=st.integers(0, 40))
def test_ragged_gives_every_row_its_entries_in_the_order_they_came(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], cut: int
) -> None:
    values = list(range(len(rows)))

    def batches() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for part in (slice(0, cut), slice(cut, None)):
            yield np.array(rows[part], np.int64), {"value": np.array(values[part], np.int32)}

    ragged = Ragged.write(tmp_path_factory.mktemp("ragged"), 7, batches, {"value": np.int32})
    wanted = [5, 0, 5, 3]
    place, columns = ragged.gather(np.array(wanted))
    expected = [(i, v) for i, row in enumerate(wanted) for r, v in zip(rows, values, strict=True) if r == row]
    assert list(zip(place.tolist(), columns["value"].tolist(), strict=True)) == expected


def test_row_index_finds_what_is_there_and_nothing_else() -> None:
    index = RowIndex([np.array(["a", "b"], object), np.array(["c"], object)])
    assert index.find(np.array(["c", "x", "a"], object)).tolist() == [2, -1, 0]
    assert RowIndex([]).find(np.array(["a"], object)).tolist() == [-1]


def test_an_image_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        RowIndex([np.array(["a", "a"], object)])
