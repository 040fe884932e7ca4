from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.io.tables import Table, as_arrow, write_part
from ram.pipeline.catalog import artifact
from ram.registry.rounds.change import tag_set_change

Rows = dict[tuple[str, int], bool]
ROWS = st.dictionaries(st.tuples(st.sampled_from(["a/1", "a/2", "b/1"]), st.integers(0, 4)), st.booleans(), max_size=12)


def cleaned(path: Path, rows: Rows, cut: int = 3) -> Table:
    schema = artifact("cleaned_tags").schema
    assert schema is not None
    filler = {field.name: None for field in schema}
    listed = [
        filler
        | {
            "image_id": image_id,
            "tag_id": tag_id,
            "origin": "caption",
            "score": 1.0,
            "kept": kept,
            "wrong_probability": 0.5,
        }
        for (image_id, tag_id), kept in rows.items()
    ]
    for part, mine in enumerate((listed[:cut], listed[cut:])):
        write_part(as_arrow(mine, schema), path, part, schema)
    return Table(path, schema)


@settings(max_examples=40, deadline=None)
@given(before=ROWS, after=ROWS, rows_at_once=st.integers(1, 20))
def test_the_change_is_the_share_of_kept_tags_that_only_one_has(
    before: Rows, after: Rows, rows_at_once: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("change")
    kept = [{row for row, keep in rows.items() if keep} for rows in (before, after)]
    either = kept[0] | kept[1]
    expected = len(kept[0] ^ kept[1]) / len(either) if either else 0.0
    tables = cleaned(folder / "before", before), cleaned(folder / "after", after, cut=1)
    assert tag_set_change(*tables, rows_at_once=rows_at_once) == pytest.approx(expected)
