from __future__ import annotations

from pathlib import Path

import pytest

from ram.evaluation.mapping import MappedName, plain_name, propose, read_mapping, write_mapping
from ram.labels import LabelSystem, Tag
from ram.labels.wordnet import load_wordnet

SYSTEM = LabelSystem(
    [
        Tag(tag_id=0, name="dog", synonyms=("hound",)),
        Tag(tag_id=1, name="plane"),
        Tag(tag_id=2, name="tree"),
        Tag(tag_id=3, name="car"),
        Tag(tag_id=4, name="pavement", kind="scene"),
    ]
)


def test_each_sure_way_of_finding_a_tag_has_its_name() -> None:
    names = ["Dog", "hound", "trees", "airplane", "tree-merged", "auto"]
    found = propose(names, SYSTEM, alternatives={"auto": ("motor", "car")})
    assert [(row.how, row.tags[0].name) for row in found] == [
        ("name", "dog"), ("synonym", "dog"), ("form", "tree"), ("everyday", "plane"), ("name", "tree"), ("alternative", "car"),
    ]  # fmt: skip


def test_what_wordnet_suggests_is_left_to_a_person() -> None:
    found = {row.name: row for row in propose(["sidewalk", "police car", "zebra"], SYSTEM, load_wordnet())}
    assert all(row.tags == () and row.how == "text" for row in found.values())
    assert found["sidewalk"].note == "wordnet: pavement?"
    assert found["police car"].note == "head: car?"
    assert found["zebra"].note == ""


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Wall-other-merged", "wall"), ("crane (bird)", "crane"), ("floor-wood", "floor wood"), ("other", "other")],
)
def test_plain_names_are_without_what_lists_add(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_a_written_proposal_reads_back_and_is_never_overwritten(tmp_path: Path) -> None:
    names = ["Dog", "zebra, the striped", "trees"]
    proposed = propose(names, SYSTEM)
    write_mapping(proposed, tmp_path / "m.csv")
    assert read_mapping(tmp_path / "m.csv", names, SYSTEM) == proposed
    with pytest.raises(ValueError, match="is there already and may hold decisions"):
        write_mapping(proposed, tmp_path / "m.csv")


def test_a_persons_decisions_are_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "name,tag,how,note\nvehicle,car | plane,reviewed,\ndog,-,,no\nzebra,,reviewed,\ntree,,name,\n"
    )
    found = read_mapping(tmp_path / "m.csv", ["zebra", "vehicle", "dog", "tree"], SYSTEM)
    assert [([t.name for t in row.tags], row.how, row.is_left_out) for row in found] == [
        ([], "reviewed", False), (["car", "plane"], "reviewed", False), ([], "reviewed", True), ([], "text", False),
    ]  # fmt: skip


def test_all_that_is_wrong_with_a_mapping_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("name,tag\ndog,wolf\nunicorn,dog\ncar,car\ncar,plane\n")
    with pytest.raises(ValueError) as error:
        read_mapping(tmp_path / "m.csv", ["dog", "car", "tree"], SYSTEM)
    said = str(error.value)
    assert "m.csv:2: the model has no tag 'wolf'" in said
    assert "m.csv:3: the benchmark has no name 'unicorn'" in said
    assert "m.csv:5: 'car' has an earlier row that differs" in said
    assert "m.csv: no row for 'tree'" in said


def test_without_a_label_system_all_are_texts_but_those_left_out(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("name,tag\ndog,dog\ncar,-\n")
    found = read_mapping(tmp_path / "m.csv", ["dog", "car"], None)
    assert found == [MappedName("dog", (), "reviewed"), MappedName("car", (), "reviewed", is_left_out=True)]
