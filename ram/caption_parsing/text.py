"""Captions as they come, made fit for a parser, or refused with a reason."""

from __future__ import annotations

import html
import re
import unicodedata

from ram.caption_parsing.words import word_set

SKIP_REASONS = ("empty", "too_long", "not_english")

_TAG = re.compile(r"<\s*/?\s*([a-zA-Z][a-zA-Z0-9]*)[^<>]*>")
_URL = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+")
_HANDLE = re.compile(r"(?<!\S)[@#](\w+)")
_JOINER = re.compile(r"(?<=[a-zA-Z])[-_/](?=[a-zA-Z])")
_OTHER = re.compile(r"[^a-zA-Z0-9 .,;:!?'&%()-]+")
# Words that only grammar needs: a caption with two foreign ones and no English one is not English.
_ENGLISH = word_set("a an the of in on at with and or is are to for from by his her its their this that near over")
_FOREIGN = word_set(
    "der das und ist ein eine einen mit auf im für von zu le la les des du et un une dans est sur avec el los las una "
    "del en con por para il lo gli di che per sul nel het een op met och det som på em com y"
)


def clean_caption(text: str) -> str:
    """Plain text of ASCII words and punctuation: entities decoded, accents folded, markup, addresses and emoji gone."""
    text = html.unescape(text)
    text = _TAG.sub(lambda m: " person " if m[1].lower() == "person" else " ", text)  # CC12M hides names so
    text = _HANDLE.sub(r"\1", _URL.sub(" ", text))
    text = text.translate({0x2019: "'", 0x2018: "'", 0x2013: " - ", 0x2014: " - "})
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = " ".join(_JOINER.sub(" ", _OTHER.sub(" ", text)).split())
    if text.isupper() or text.istitle():  # in headlines every word would pass for a name
        text = text.lower()
    return text


def skip_reason(raw: str, cleaned: str, max_words: int, max_chars: int) -> tuple[str, str] | None:
    """Why a caption is not parsed, one of `SKIP_REASONS`, with what was found; None where it is to be parsed."""
    if len(raw) > max_chars:
        return "too_long", f"{len(raw)} characters"
    letters = sum(c.isalpha() for c in raw)
    if not letters:
        return "empty", "no letter"
    latin = sum(c.isalpha() for c in unicodedata.normalize("NFKD", raw) if c.isascii())
    if latin < 0.5 * letters:
        return "not_english", f"{latin} of {letters} letters are Latin"
    words = cleaned.split()
    if not any(c.isalpha() for c in cleaned):
        return "empty", "nothing but addresses or markup"
    if len(words) > max_words:
        return "too_long", f"{len(words)} words"
    lowered = {word.strip(".,;:!?'").lower() for word in raw.split()}
    foreign = lowered & _FOREIGN
    if len(foreign) >= 2 and not lowered & _ENGLISH:
        return "not_english", f"has {', '.join(sorted(foreign)[:5])}"
    return None
