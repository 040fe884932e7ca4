from __future__ import annotations

from pathlib import Path

import pytest

from ram.labels import LabelSystem, Tag
from ram.labels.human_labels import read_verdicts, resolve

LABELS = LabelSystem([Tag(tag_id=0, name="car", synonyms=("automobile",)), Tag(tag_id=1, name="dog")])


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_no_file_and_an_empty_file_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.csv"
    assert read_verdicts(path) == []
    path.write_bytes(b"")
    assert read_verdicts(path) == []
    assert read_verdicts(write(path, "image_id,tag,verdict")) == []


def test_columns_of_the_person_and_undecided_rows_are_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", "note,verdict,image_id,tag", '"a, b",keep,x/1,Automobiles', ",,x/2,dog")
    verdicts = read_verdicts(path)
    assert [(v.image_id, v.tag, v.verdict, v.where) for v in verdicts] == [("x/1", "Automobiles", "keep", "v.csv:2")]
    found, unknown = resolve(verdicts, LABELS)
    assert list(found) == [("x/1", 0)]
    assert not unknown


def test_every_malformed_row_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", "image_id,tag,verdict", "x/1,car,maybe", "x/1,dog,keep", ",dog,wrong", "x/2,,keep")
    with pytest.raises(ValueError) as error:
        read_verdicts(path)
    assert [line.split(": ")[0].strip() for line in str(error.value).splitlines()[1:]] == [
        "v.csv:2",
        "v.csv:4",
        "v.csv:5",
    ]


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"add \['image_id', 'verdict'\]"):
        read_verdicts(write(tmp_path / "v.csv", "tag,note", "car,x"))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes("image_id,tag,verdict\nx/1,café,keep\n".encode("latin-1"))
    with pytest.raises(ValueError, match="save it as CSV in UTF-8"):
        read_verdicts(path)


@pytest.mark.parametrize("tags", [("car", "automobile"), ("unicorn", "unicorn")])
def test_two_verdicts_on_one_row_that_disagree_are_refused(tmp_path: Path, tags: tuple[str, str]) -> None:
    path = write(tmp_path / "v.csv", "image_id,tag,verdict", f"x/1,{tags[0]},keep", f"x/1,{tags[1]},wrong")
    with pytest.raises(ValueError, match=r"v\.csv:3: wrong .* contradicts v\.csv:2: keep"):
        resolve(read_verdicts(path), LABELS)


def test_saying_a_thing_twice_is_saying_it(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", "image_id,tag,verdict", "x/1,car,keep", "x/1,automobile,keep")
    found, _ = resolve(read_verdicts(path), LABELS)
    assert list(found) == [("x/1", 0)]
