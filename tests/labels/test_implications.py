from __future__ import annotations

from pathlib import Path

import pytest
from wordfreq import zipf_frequency

from ram.labels.forms import normalize
from ram.labels.implications import Implication, Implications, load_implications, read_implications

TABLE = [
    Implication("noun", "surfer", (), ("person", "surfboard"), "sure"),
    Implication("noun", "kitchen", (), ("oven",), "likely"),
    Implication("action", "ride", ("wave",), ("surfboard",), "sure"),
]


def of(phrases: list[tuple[str, str]], extent: str = "likely") -> list[tuple[str, str]]:
    return list(Implications(TABLE, extent).of(phrases))  # type: ignore[arg-type]


def test_a_phrase_implies_what_its_line_says() -> None:
    assert of([("surfer", "object")]) == [("person", "sure"), ("surfboard", "sure")]


def test_a_compound_implies_what_its_head_does() -> None:
    assert of([("young surfer", "object")]) == of([("surfer", "object")])


def test_a_reading_is_not_taken_for_another() -> None:
    assert of([("surfer", "action"), ("kitchen", "attribute")]) == []


def test_words_that_must_stand_together_do() -> None:
    assert of([("ride", "action")]) == []
    assert of([("ride", "action"), ("wave", "object")]) == [("surfboard", "sure")]


@pytest.mark.parametrize(("extent", "wanted"), [("none", []), ("sure", []), ("likely", [("oven", "likely")])])
def test_the_extent_says_how_far_implications_go(extent: str, wanted: list[tuple[str, str]]) -> None:
    assert of([("kitchen", "scene")], extent) == wanted


@pytest.mark.parametrize("line", ["surfer > surfboard", "noun: surfer surfboard", "thing: surfer > surfboard"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "table.txt"
    path.write_text(f"# a comment\n{line}\n")
    with pytest.raises(ValueError, match=f"{path}:2: .*is no implication"):
        read_implications(path)


def test_the_table_has_no_line_twice_and_no_thing_that_implies_itself() -> None:
    table = load_implications()
    keys = [(line.reading, line.phrase, line.beside, thing) for line in table for thing in line.things]
    assert len(keys) == len(set(keys))
    assert all(line.phrase not in line.things for line in table if line.reading == "noun")


def test_the_things_of_the_table_are_words_in_the_form_of_names() -> None:
    for thing in {thing for line in load_implications() for thing in line.things}:
        assert thing == normalize(thing)
        assert zipf_frequency(thing.split()[-1], "en") > 1, thing
