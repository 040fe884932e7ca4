from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.finetuning.table import read_table, resolve
from ram.labels import LabelSystem, Tag

START = LabelSystem([Tag(tag_id=0, name="couch", synonyms=("sofa",)), Tag(tag_id=1, name="dog")])
ROWS = st.tuples(
    st.sampled_from(["a.jpg", "./a.jpg", "b/c.jpg", "b//c.jpg", ""]),
    st.sampled_from(["couch", "Sofas", "dog", "zebu", " ZEBU", ""]),
    st.sampled_from(["1", "yes", "TRUE", "0", "no", "False", "", "2"]),
)


def read(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["image", "tag", "label"])
    frame.insert(0, "row", range(1, len(frame) + 1))
    return frame


@given(st.lists(ROWS, min_size=1, max_size=12))
def test_every_row_is_a_label_or_set_aside_and_every_label_was_said_and_never_denied(
    rows: list[tuple[str, str, str]],
) -> None:
    labels = resolve(read(rows), START)
    assert sorted([*labels.rows["row"], *labels.quarantine["row"]]) == list(range(1, len(rows) + 1))
    assert labels.quarantine["reason"].ne("").all()
    said: dict[tuple[str, str], set[bool]] = {}
    named = set()
    for image, tag, label in rows:
        if not image or not tag.strip():
            continue
        key = (
            image.replace("//", "/").removeprefix("./"),
            {"sofas": "couch"}.get(tag.lower().strip(), tag.lower().strip()),
        )
        named.add(key)
        if label.lower() in ("1", "yes", "true", "0", "no", "false"):
            said.setdefault(key, set()).add(label.lower() in ("1", "yes", "true"))
    names = labels.label_system.names
    found = {(row.image, names[row.tag_id]): bool(row.positive) for row in labels.rows.itertuples()}
    assert len(found) == len(labels.rows)
    assert found == {key: values.pop() for key, values in said.items() if len(values) == 1}
    unknown = {(row.image, names[row.tag_id]) for row in labels.unknown.itertuples()}
    assert unknown == named - found.keys()


@pytest.mark.parametrize("values", [[True, False], [1, 0], [1.0, 0.0], ["yes", "no"]])
def test_labels_of_a_parquet_file_may_have_any_type(values: list[object], tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    pd.DataFrame({"image": ["a.jpg", "a.jpg"], "tag": ["dog", "couch"], "label": values}).to_parquet(path)
    rows = resolve(read_table(path), START).rows
    assert dict(zip(rows["tag_id"], rows["positive"], strict=True)) == {1: True, 0: False}


def test_without_a_column_label_every_row_is_a_positive(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("tag,image,note\ndog,a.jpg,x\nNA,a.jpg,\n")
    labels = resolve(read_table(tmp_path / "labels.csv"), START)
    assert labels.rows["positive"].all()
    assert labels.label_system.names[2:] == ["na"]


@pytest.mark.parametrize(
    ("content", "says"), [("", "no CSV"), ("image,tag\n", "has no row"), ("photo,tag\na,b\n", "it has photo, tag")]
)
def test_a_table_that_is_none_is_refused(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(ValueError, match=says):
        read_table(tmp_path / "labels.csv")
