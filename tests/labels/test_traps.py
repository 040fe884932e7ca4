"""Words on which label systems stumble: one word for two things, two words for one, a thing within another's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ram.labels import LabelSystem
from ram.labels.build import build_label_system
from ram.labels.resolve import Resolver
from ram.labels.select import SelectionParams, find_groups, read_counts, select
from ram.labels.senses import WordNetInContext
from ram.labels.vocabulary import Vocabulary, read_vocabularies
from ram.labels.wordnet import load_wordnet

VOCABULARIES = Path(__file__).parents[2] / "data" / "vocabularies"
WORDNET = load_wordnet()
ANIMALS = Vocabulary(
    name="animals",
    kind="noun",
    entries=tuple((name,) for name in ("animal", "lizard", "otter", "giraffe", "gorilla", "mouse", "bat", "crane")),
)
EVERYTHING = ("coco80", "openimages601", "objects365", "lvis1203", "imagenet1k", "hico117", "ram4585", "ade20k150")


def build(counts: dict[tuple[str, str], int], *names: str, extra: Vocabulary | None = None) -> LabelSystem:
    vocabularies = read_vocabularies(VOCABULARIES, names) | ({extra.name: extra} if extra else {})
    wordnet = WordNetInContext(WORDNET, vocabularies)
    params = SelectionParams(
        min_frequency=2, vocabulary_min_frequency=1, unknown_min_frequency=50, max_tags=500, min_tags_per_kind=2
    )
    readings, acts, _ = read_counts(counts, wordnet, params.min_reading_share)
    groups = find_groups(readings, acts, vocabularies, wordnet, merge_synonyms=True)
    kept, _ = select(groups, wordnet, params)
    return build_label_system(kept, counts, vocabularies, wordnet, merge_synonyms=True)


def things(*names: str) -> dict[tuple[str, str], int]:
    return {(name, "object"): 10 for name in names}


def parents(tags: LabelSystem, name: str) -> tuple[str, ...]:
    tag = tags.find(name)
    assert tag is not None
    return tag.parents


def test_with_coco_a_mouse_belongs_to_a_computer() -> None:
    tags = build(things("mouse", "computer mouse", "animal", "dog"), "coco80")
    assert tags.find("mouse") is tags.find("computer mouse")
    assert parents(tags, "mouse") == ()
    assert parents(tags, "dog") == ("animal",)


def test_in_a_list_of_animals_a_mouse_is_one() -> None:
    tags = build(things("mouse", "computer mouse", "animal"), extra=ANIMALS)
    assert tags.find("mouse") is not tags.find("computer mouse")
    assert parents(tags, "mouse") == ("animal",)
    assert parents(tags, "computer mouse") == ()


def test_where_lists_disagree_a_mouse_stays_by_itself() -> None:
    tags = build(things("mouse", "computer mouse", "animal"), "coco80", extra=ANIMALS)
    assert tags.find("mouse") is not tags.find("computer mouse")
    assert parents(tags, "mouse") == ()


@pytest.mark.parametrize(
    ("names", "extra", "wanted"),
    [((), None, ()), ((), ANIMALS, ("animal",)), (("objects365",), None, ()), (EVERYTHING, None, ())],
)
def test_a_crane_is_a_bird_only_among_animals(
    names: tuple[str, ...], extra: Vocabulary | None, wanted: tuple[str, ...]
) -> None:
    assert parents(build(things("crane", "animal"), *names, extra=extra), "crane") == wanted


@pytest.mark.parametrize("names", [(), ("coco80", "openimages601"), EVERYTHING])
def test_a_bat_is_no_animal_where_baseball_bats_are_known(names: tuple[str, ...]) -> None:
    tags = build(things("bat", "baseball bat", "animal"), *names)
    assert tags.find("bat") is not tags.find("baseball bat")
    assert parents(tags, "bat") == ()
    assert parents(build(things("bat", "animal"), extra=ANIMALS), "bat") == ("animal",)


@pytest.mark.parametrize("names", [(), ("lvis1203", "imagenet1k"), EVERYTHING])
def test_a_bow_is_neither_the_weapon_nor_the_ribbon_nor_the_ship_s(names: tuple[str, ...]) -> None:
    tags = build(things("bow", "weapon", "ribbon", "bow tie", "arch", "ship", "stem", "clothing"), *names)
    bow = tags.find("bow")
    assert bow is not None
    assert bow.parents == ()
    assert all(tags.find(other) is not bow for other in ("weapon", "ribbon", "bow tie", "arch", "ship", "stem"))


@pytest.mark.parametrize("names", [("coco80",), EVERYTHING])
def test_an_orange_is_the_fruit_and_its_color_is_called_so(names: tuple[str, ...]) -> None:
    tags = build({("orange", "object"): 30, ("orange", "attribute"): 90, ("fruit", "object"): 9}, *names)
    fruit, color = tags.find("orange", "object"), tags.find("orange", "attribute")
    assert fruit is not None
    assert color is not None
    assert (fruit.name, fruit.kind, fruit.parents) == ("orange", "object", ("fruit",))
    assert (color.name, color.kind, color.parents) == ("orange color", "attribute", ())
    assert tags.find("orange") is fruit


@pytest.mark.parametrize("names", [(), ("coco80", "lvis1203"), EVERYTHING])
def test_glasses_are_not_glass(names: tuple[str, ...]) -> None:
    tags = build(things("glass", "glasses", "wine glass", "eyeglasses"), *names)
    resolve = Resolver(tags, WORDNET)
    glass, glasses = resolve("glass", "object"), resolve("glasses", "object")
    assert glass is not glasses
    assert resolve("eyeglasses", "object") is glasses
    assert resolve("wine glass", "object") is not glasses


@pytest.mark.parametrize("names", [(), EVERYTHING])
def test_people_are_persons(names: tuple[str, ...]) -> None:
    tags = build(things("people", "person", "man"), *names)
    person = tags.find("people")
    assert person is not None
    assert person is tags.find("person") is tags.find("persons")
    assert (person.name, person.frequency) == ("person", 20)
    assert parents(tags, "man") == ("person",)


@pytest.mark.parametrize("names", [("coco80",), EVERYTHING])
@pytest.mark.parametrize(("compound", "head", "kind"), [("hot dog", "dog", "animal"), ("teddy bear", "bear", "animal")])
def test_a_hot_dog_is_no_dog_and_a_teddy_bear_no_bear(
    compound: str, head: str, kind: str, names: tuple[str, ...]
) -> None:
    tags = build(things(compound, head, kind), *names)
    assert tags.find(compound) is not tags.find(head)
    assert not {head, kind} & set(parents(tags, compound))
    assert parents(tags, head) == (kind,)
    assert Resolver(build(things(head, kind), *names), WORDNET)(compound, "object") is None


def test_a_word_takes_no_synonym_of_another_sense() -> None:
    tags = build(things("net", "lab", "mouth", "cigarette", "course", "person"), *EVERYTHING)
    strangers = ("cyberspace", "research lab", "coffin nail", "course of study", "mortal", "hombre")
    found = {word: tag.name for word in strangers if (tag := tags.find(word))}
    assert found == {"mortal": "person"}  # a word in use, if an odd one


def test_a_gerund_that_is_a_thing_does_not_name_an_act() -> None:
    counts = {(word, kind): 10 for word in ("dress", "swing") for kind in ("object", "action")}
    tags = build(counts, *EVERYTHING)
    assert {tag.name for tag in tags if tag.kind == "action"} == {"dress (action)", "swinging"}
