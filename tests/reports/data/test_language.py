from __future__ import annotations

import pytest

from ram.reports.data.language import UNDETERMINED, count_languages, guess_language


@pytest.mark.parametrize(
    ("caption", "language"),
    [
        ("Two dogs are running along the beach.", "en"),
        ("A man in a red shirt rides a horse", "en"),
        ("Ein Mann sitzt mit seinem Hund auf einer Bank im Park", "de"),
        ("Une femme avec un chapeau rouge marche dans la rue", "fr"),
        ("Un perro grande está corriendo por la playa", "es"),
        ("Una donna con un cane sulla spiaggia della città", "it"),
        ("Uma mulher está sentada no banco com o cachorro", "pt"),
        ("Een man met een rode hoed zit op het strand", "nl"),
        ("Kobieta siedzi na ławce w parku z psem", "pl"),
        ("Собака бежит по пляжу", "cyrillic"),
        ("海辺を走る犬", "cjk"),
        ("ビーチをはしるいぬ", "hiragana"),
        ("12:30", UNDETERMINED),
        ("Zzyzx qwrt", UNDETERMINED),
    ],
)
def test_a_plain_sentence_is_known_by_its_words(caption: str, language: str) -> None:
    assert guess_language(caption) == language


def test_languages_are_counted_the_most_frequent_first() -> None:
    captions = ["a dog on the grass", "der Hund liegt auf der Wiese", "a cat on the sofa", "???"]
    assert count_languages(captions) == {"en": 2, "de": 1, UNDETERMINED: 1}
