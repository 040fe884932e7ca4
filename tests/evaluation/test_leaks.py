from __future__ import annotations

from pathlib import Path

from ram.cli.import_checkpoint import unique_names
from ram.evaluation.label_formats.labels import read_names
from ram.evaluation.leaks import find_leaks
from ram.evaluation.mapping import MappedName
from ram.labels import LabelSystem, Tag
from ram.labels.wordnet import load_wordnet

VOCABULARIES = Path(__file__).parents[2] / "data" / "vocabularies"


def system(*names: str, **synonyms: tuple[str, ...]) -> LabelSystem:
    return LabelSystem([Tag(tag_id=i, name=n, synonyms=synonyms.get(n, ())) for i, n in enumerate(names)])


def test_a_name_leaks_by_any_way_to_a_trained_tag() -> None:
    labels = system("close-up", "goat", "gas station", "television", "cat", "car", cat=("kitty",))
    unseen = ["Close up", "Goats", "Filling station", "TV", "kitty", "zebra", "roadster"]
    mapping = [MappedName("roadster", (labels[5],), "reviewed")]
    found = find_leaks(unseen, labels, load_wordnet(), mapping)
    assert [(leak.name, leak.tag, leak.how) for leak in found] == [
        ("Close up", "close-up", "name"),
        ("Goats", "goat", "form"),
        ("Filling station", "gas station", "wordnet"),
        ("TV", "television", "everyday"),
        ("kitty", "cat", "synonym"),
        ("roadster", "car", "mapping"),
    ]


def test_tags_that_training_left_out_are_no_leak() -> None:
    labels = system("goat", "cat")
    assert find_leaks(["goats", "cat"], labels, load_wordnet(), held_out={"goat", "cat"}) == []


def test_a_word_of_many_senses_leaks_by_none_of_them() -> None:
    # A crane is a bird or a machine, a bank a house or a shore: neither is known to have been trained on.
    assert find_leaks(["crane", "bat"], system("stork", "racket"), load_wordnet()) == []


def test_the_published_list_of_unseen_names_leaks_two_by_name_and_more_in_other_forms() -> None:
    published = read_names(VOCABULARIES / "ram4585.txt").listed
    names = unique_names(published)[0]
    unseen = read_names(VOCABULARIES / "oi_rare200.txt").listed
    found = find_leaks(unseen, system(*names), load_wordnet())
    assert {leak.name for leak in found if leak.how == "name"} == {"close-up", "jeans"}
    assert {leak.name for leak in found if leak.how == "name"} == set(unseen) & set(names)
    assert {("goats", "goat"), ("drums", "drum")} <= {(leak.name, leak.tag) for leak in found if leak.how == "form"}
    assert ("filling station", "gas station") in {(leak.name, leak.tag) for leak in found}
