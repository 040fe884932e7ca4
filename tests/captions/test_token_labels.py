from __future__ import annotations

import pytest

from ram.captions import Phrase, parse_captions
from ram.captions.distilled.token_labels import LABELS, irregular_forms, is_regular_form, label_words, words_of


def labels_of(caption: str, *phrases: tuple[str, str]) -> list[str]:
    forms = {"person": frozenset({"people"})}
    found = label_words(words_of(caption), [Phrase(*phrase) for phrase in phrases], forms)
    return [LABELS[label] for label in found.labels]


def test_marks_and_clitics_are_words_of_their_own() -> None:
    assert words_of("A dog's toy, isn't it?") == ["a", "dog", "'s", "toy", ",", "is", "n't", "it", "?"]


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        ("dogs", "dog"),
        ("boxes", "box"),
        ("babies", "baby"),
        ("riding", "ride"),
        ("running", "run"),
        ("plays", "play"),
        ("big", "big"),
    ],
)
def test_regular_forms_are_known_by_spelling(word: str, lemma: str) -> None:
    assert is_regular_form(word, lemma)


@pytest.mark.parametrize(("word", "lemma"), [("dog", "dot"), ("people", "person"), ("carpet", "car"), ("a", "i")])
def test_other_words_are_no_regular_form(word: str, lemma: str) -> None:
    assert not is_regular_form(word, lemma)


def test_irregular_forms_are_learned_from_captions_that_have_no_other_explanation() -> None:
    captions = ["two people and a dog", "people at a table", "a person and a parrot", "the parrot eats"]
    forms = irregular_forms([words_of(c) for c in captions], parse_captions(captions))
    assert forms["person"] == {"people"}
    assert "dog" not in forms


def test_every_word_of_a_phrase_gets_its_part() -> None:
    named = [("person", "object"), ("hold up", "action"), ("red", "attribute"), ("fire truck", "object")]
    labels = labels_of("two people hold up a red fire truck", *named)
    assert labels == ["nothing", "noun", "verb", "particle", "nothing", "attribute", "joined", "noun"]


def test_words_that_stand_apart_are_found_too() -> None:
    assert labels_of("he picks it up", ("pick up", "action")) == ["nothing", "verb", "nothing", "particle"]


def test_a_second_occurrence_of_a_named_word_stays_open() -> None:
    found = label_words(words_of("a dog and a dog"), [Phrase("dog", "object")], {})
    assert [LABELS[label] for label in found.labels] == ["nothing", "noun", "nothing", "nothing", "nothing"]
    assert found.certain == [True, True, True, True, False]


def test_a_phrase_that_is_not_found_changes_nothing() -> None:
    assert labels_of("a dog", ("elephant", "object")) == ["nothing", "nothing"]
