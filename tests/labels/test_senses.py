from __future__ import annotations

from pathlib import Path

import pytest

from ram.labels.senses import WordNetInContext
from ram.labels.vocabulary import Vocabulary, read_vocabularies, read_vocabulary
from ram.labels.wordnet import load_wordnet

VOCABULARIES = Path(__file__).parents[2] / "data" / "vocabularies"
WORDNET = load_wordnet()


def vocabulary(name: str, *entries: str, kind: str = "noun", **senses: str) -> dict[str, Vocabulary]:
    made = Vocabulary(name=name, kind=kind, entries=tuple(tuple(e.split("/")) for e in entries), senses=senses)
    return {name: made}


def sort_of(word: str, *vocabularies: dict[str, Vocabulary]) -> str | None:
    context = WordNetInContext(WORDNET, {name: v for made in vocabularies for name, v in made.items()})
    synset = context.dominant(word)
    return None if synset is None else context.file(synset).removeprefix("noun.")


ZOO = vocabulary("zoo", "lizard", "otter", "giraffe", "gorilla", "zebra", "mouse", "bat", "crane", "seal")
SITE = vocabulary("site", "crane", crane="artifact")
SPORTS = vocabulary("sports", "baseball bat", "tennis racket")
COCO = read_vocabularies(VOCABULARIES, ["coco80"])


@pytest.mark.parametrize(
    ("word", "vocabularies", "sort"),
    [
        ("mouse", [], "animal"),  # as texts have it
        ("mouse", [COCO], "artifact"),  # as the list says
        ("mouse", [ZOO], "animal"),  # as all that the list has
        ("mouse", [COCO, ZOO], None),  # lists that disagree
        ("crane", [], None),
        ("crane", [ZOO], "animal"),
        ("crane", [SITE], "artifact"),
        ("crane", [SITE, ZOO], None),
        ("bat", [], None),
        ("bat", [ZOO], "animal"),
        ("bat", [ZOO, SPORTS], None),  # a baseball bat is another bat
        ("bow", [read_vocabularies(VOCABULARIES, ["lvis1203", "imagenet1k"])], None),
        ("orange", [COCO], "food"),
        ("pitcher", [vocabulary("kitchen", "pitcher/ewer")], None),  # texts mean the player
        ("tv", [COCO], "artifact"),
        ("dog", [COCO], "animal"),  # a hot dog is listed, and no dog
        ("bear", [COCO], "animal"),  # so is a teddy bear
    ],
)
def test_a_word_means_what_its_vocabularies_mean(word: str, vocabularies: list, sort: str | None) -> None:
    assert sort_of(word, *vocabularies) == sort


def test_a_list_of_acts_says_nothing_of_nouns() -> None:
    assert sort_of("mouse", vocabulary("desk", "mouse", mouse="artifact")) == "artifact"
    assert sort_of("mouse", vocabulary("acts", "mouse", kind="action", mouse="artifact")) == "animal"


def test_a_disputed_word_is_a_kind_of_nothing() -> None:
    disputed = WordNetInContext(WORDNET, COCO | ZOO)
    assert disputed.is_disputed("mouse")
    assert not disputed.is_disputed("dog")
    animal = WORDNET.dominant("animal")
    assert animal in WORDNET.kinds_of("mouse")
    assert animal not in disputed.kinds_of("mouse")
    assert animal in disputed.kinds_of("dog")


def test_every_sense_that_the_lists_give_is_one_that_wordnet_has() -> None:
    marked = [(v.name, word, sort) for v in read_vocabularies(VOCABULARIES).values() for word, sort in v.senses.items()]
    assert marked
    missing = [m for m in marked if f"noun.{m[2]}" not in map(WORDNET.file, WORDNET.senses(m[1]))]
    assert missing == []


def test_senses_are_read_from_the_list_and_unknown_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "desk.txt"
    path.write_text("# kind: noun\nmouse/computer mouse [artifact]\nlamp\n")
    read = read_vocabulary(path)
    assert read.entries == (("mouse", "computer mouse"), ("lamp",))
    assert read.senses == {"mouse": "artifact"}
    path.write_text("# kind: noun\nmouse [gadget]\n")
    with pytest.raises(ValueError, match=r"desk\.txt:2: \[gadget\] is no sense; known: .*artifact"):
        read_vocabulary(path)
