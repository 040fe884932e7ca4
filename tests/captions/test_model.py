"""The English model made cheap gives what it gives as it is shipped, and does not grow."""

from __future__ import annotations

import random
import string

import pytest
import spacy

from benchmarks.caption_gold import read_gold
from ram.captions import clean_caption, parse_captions, parser
from ram.captions.lemmas import noun_lemma, verb_lemma


def test_words_have_spacys_tags_heads_and_lemmas_but_for_the_corrections() -> None:
    captions = [clean_caption(row.caption) for row in read_gold()]
    captions += ["There is a dog", "There's a cat", "he has had it done", "What do they do?", "It is staring at vases"]
    model = parser._model()
    whole = spacy.load(next(name for name in parser.MODELS if spacy.util.is_package(name)), exclude=["ner"])
    for cheap, full in zip(model.nlp.pipe(captions), whole.pipe(captions), strict=True):
        for word, token in zip(model.words_of(cheap), full, strict=True):
            assert (word.tag, word.pos, word.dep, word.head.i) == (token.tag_, token.pos_, token.dep_, token.head.i)
            lemma = token.lemma_.lower()
            if token.pos_ == "VERB":
                lemma = verb_lemma(token.lower_, token.tag_, lemma, model.verbs)
            elif token.tag_ in ("NNS", "NNPS"):
                lemma = noun_lemma(token.lower_, lemma, model.nouns)
            assert word.lemma == lemma


@pytest.mark.parametrize(
    ("lower", "tag", "lemma"),
    [
        ("staring", "VBG", "stare"),
        ("stares", "VBZ", "stare"),
        ("shining", "VBG", "shine"),
        ("rides", "VBZ", "ride"),
        ("putting", "VBG", "put"),
        ("installed", "VBN", "install"),
        ("eating", "VBG", "eat"),
        ("watches", "VBZ", "watch"),
        ("running", "VBG", "run"),
        ("vases", "NNS", "vase"),
        ("cookies", "NNS", "cookie"),
        ("puppies", "NNS", "puppy"),
        ("glasses", "NNS", "glass"),
        ("axes", "NNS", "axe"),
        ("leaves", "NNS", "leaf"),
        ("mice", "NNS", "mouse"),
    ],
)
def test_base_forms_are_those_a_caption_means(lower: str, tag: str, lemma: str) -> None:
    model = parser._model()
    spacys = model._annotated([(lower, tag, "ROOT")]).lemma_
    if tag.startswith("V"):
        assert verb_lemma(lower, tag, spacys, model.verbs) == lemma
    else:
        assert noun_lemma(lower, spacys, model.nouns) == lemma


def test_a_model_that_has_met_many_new_words_is_loaded_anew_and_reads_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters = random.Random(0)
    captions = [f"a dog and a {''.join(letters.choices(string.ascii_lowercase, k=9))}" for _ in range(600)]
    before = parse_captions(captions)
    monkeypatch.setattr(parser, "_CHUNK_SIZE", 100)
    monkeypatch.setattr(parser, "_MAX_NEW_WORDS", 150)
    sizes = []
    load = parser._model
    for start in range(0, len(captions), 200):
        assert parse_captions(captions[start : start + 200]) == before[start : start + 200]
        sizes.append(load().num_new_words())
    assert max(sizes) <= 150
