from __future__ import annotations

import pytest

from ram.captions import clean_caption, parse_captions


def phrases(caption: str) -> dict[str, str]:
    return {phrase.text: phrase.kind for phrase in parse_captions([clean_caption(caption)])[0]}


def test_the_example_of_the_tag2text_paper() -> None:
    found = phrases("A red alarm clock is on a wooden desk")
    assert found == {"red": "attribute", "alarm clock": "object", "wooden": "attribute", "desk": "object"}


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("a group of people riding bikes down the street", {"person": "object", "ride": "action", "street": "scene"}),
        ("The car is red and shiny", {"car": "object", "red": "attribute", "shiny": "attribute"}),
        ("a couple of planes are parked", {"plane": "object", "park": "action"}),
        ("a dog is sleeping", {"dog": "object", "sleep": "action"}),
        ("a parked car", {"parked": "attribute", "car": "object"}),
        ("A hot dog and a teddy bear", {"hot dog": "object", "teddy bear": "object"}),
        (
            "a large brown and white dog",
            {"large": "attribute", "brown": "attribute", "white": "attribute", "dog": "object"},
        ),
        ("a man in an orange shirt holds oranges", {"orange": "object", "shirt": "object", "hold": "action"}),
        ("a dog wearing a T-shirt", {"dog": "object", "wear": "action", "t shirt": "object"}),
        ("a man wearing glasses and blue jeans", {"glasses": "object", "wear": "action"}),
        ("two glasses of wine", {"glass": "object", "wine": "object"}),
    ],
)
def test_heads_modifiers_and_verbs_get_their_kinds(caption: str, wanted: dict[str, str]) -> None:
    found = phrases(caption)
    assert {text: found.get(text) for text in wanted} == wanted


@pytest.mark.parametrize(
    ("caption", "absent", "present"),
    [
        ("a man riding a bike without a helmet", {"helmet"}, {"man", "bike"}),
        ("there are no cars on the street", {"car"}, {"street"}),
        ("a boy is not wearing a shirt", {"wear", "shirt"}, {"boy"}),
        ("a photo of a dog", {"photo"}, {"dog"}),
        ("A drawing of a cat", {"drawing"}, {"cat"}),
        ("a black and white photo of a horse", {"black", "white", "photo"}, {"horse"}),
        ("a hot dog on a plate", {"hot", "dog"}, {"hot dog", "plate"}),
        ("she has two cats", {"she", "have", "two"}, {"cat"}),
    ],
)
def test_what_is_denied_or_says_nothing_is_left_out(caption: str, absent: set[str], present: set[str]) -> None:
    found = set(phrases(caption))
    assert not absent & found
    assert present <= found


@pytest.mark.parametrize("scene", ["beach", "forest", "street", "kitchen", "desert", "mountain", "meadow"])
def test_places_are_scenes(scene: str) -> None:
    assert phrases(f"a dog in the {scene}")[scene] == "scene"


@pytest.mark.parametrize(
    ("verb", "form"),
    [("jump", "jumps"), ("fly", "is flying"), ("run", "runs"), ("swim", "swims"), ("eat", "is eating")],
)
def test_verbs_without_an_object_are_actions(verb: str, form: str) -> None:
    assert phrases(f"a small dog {form} near the house")[verb] == "action"


def test_equal_captions_have_equal_phrases_in_order() -> None:
    captions = ["a dog", "a cat", "a dog"]
    first, second, third = parse_captions(captions)
    assert first == third != second


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("Two men in red hats are climbing up a rocky wall", ["man", "red", "hat", "climb", "rocky", "wall"]),
        ("A parked car is white and dirty", ["parked", "car", "white", "dirty"]),
        ("A boy without a helmet, no cars on the street", ["boy", "street"]),
        ("Stock photo of an alarm clock &#8211; isolated, IMG_2034.jpg", ["alarm clock", "isolated"]),
    ],
)
def test_the_examples_of_the_document_are_read_as_it_says(caption: str, wanted: list[str]) -> None:
    assert [phrase.text for phrase in parse_captions([clean_caption(caption)])[0]] == wanted
