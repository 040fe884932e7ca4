from __future__ import annotations

from pathlib import Path

import pytest

from ram.labels.vocabulary import read_vocabularies, read_vocabulary

VOCABULARIES = Path(__file__).parents[2] / "data" / "vocabularies"


def test_every_list_of_the_project_is_well_formed_and_named_in_its_readme() -> None:
    readme = (VOCABULARIES / "README.md").read_text(encoding="utf-8")
    vocabularies = read_vocabularies(VOCABULARIES)
    assert len(vocabularies["coco80"].entries) == 80
    assert len(vocabularies["ram4585"].entries) == 4585
    for name, vocabulary in vocabularies.items():
        assert name in readme
        assert f"{len(vocabulary.entries):,}" in readme


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# kind: noun\nDog\n", "is no name"),
        ("# kind: noun\ndog\ndog\n", "twice"),
        ("# kind: thing\ndog\n", "must give one of"),
        ("dog\n", "must give one of"),
        ("# kind: noun\ndog//cat\n", "is no name"),
    ],
)
def test_malformed_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_vocabulary(tmp_path / "mine.txt")


def test_an_unknown_list_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="coco80"):
        read_vocabularies(VOCABULARIES, ["nothing"])
