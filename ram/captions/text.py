"""Captions as they come, made fit for a parser, or refused with a reason."""

from __future__ import annotations

import html
import re
import unicodedata

from ram.captions import boilerplate
from ram.captions.lexicon import word_set

# no letter; too long; another language; a camera's or a disk's name; nothing but addresses, prices and the like
SKIP_REASONS = ("empty", "too_long", "not_english", "file_name", "boilerplate")

# What nothing has to be done to, as most captions that people wrote.
_PLAIN = re.compile(r"[A-Z]?[a-z]*(?:'[a-z]+)?(?:,? [a-z]+(?:'[a-z]+)?)*\.?\Z")
_TAG = re.compile(r"<\s*/?\s*([a-zA-Z][a-zA-Z0-9]*)[^<>]*>")
_HANDLE = re.compile(r"(?<![\w&])[@#](\w+)")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINER = re.compile(r"(?<=[a-zA-Z])[-_/+](?=[a-zA-Z])|_")
_BREAK = re.compile(r"\s*[|•·»«~*=<>\[\]{}\n]+\s*")
_OTHER = re.compile(r"[^a-zA-Z0-9 .,;:!?'&%()-]+")
_EDGES = re.compile(r"^[ ,;:.!?&%)'-]+|[ ,;:&%('-]+$")
_HOLES = re.compile(r"\(\s*\)|\s+(?=[,;:.!?)])|([,;:])(?:\s*[,;:])+")
_CAPITALS = re.compile(r"\b[A-Z]{2,}\b")
_MAX_PASSES = 8
_SMALL_WORDS = word_set("a an the of in on at with and or for by to from de la")
_MIN_CAPITALS = 3  # a name may have two words
_TITLE_SHARE = 0.7
# Words that only grammar needs. The first no other language has; with the others two foreign ones do not make it foreign.
ENGLISH = word_set("the of and with his her their its this that are from near by over while woman man")
_SHARED = word_set("a an in on at or is to for")
FOREIGN = word_set(
    "der das und ist ein eine einen mit auf im für von zu le la les des du et un une dans est sur avec el los las una "
    "del en con por para il lo gli di che per sul nel het een op met och det som på em com y ve bir i na z w se dla"
)
_MIN_ACCENTED = 3  # a dish may have two
_ACCENTED_SHARE = 0.3


def clean_caption(text: str) -> str:
    """Plain text of ASCII words and punctuation; cleaning it again changes nothing.

    Entities are decoded, accents folded, hashtags split into words; markup, addresses, emoji, prices, sizes, codes and
    the words of shops and image sites go.
    """
    for _ in range(_MAX_PASSES):
        if _is_plain(text):
            return text
        cleaned = _clean_once(text)
        if cleaned == text:
            return text
        text = cleaned
    return _OTHER.sub(" ", text).lower().strip() if text.isascii() else ""


def _is_plain(text: str) -> bool:
    if _PLAIN.match(text) is None:
        return False
    return not boilerplate.may_hold(text.lower().replace(",", "").rstrip(".").split())


def _clean_once(text: str) -> str:
    text = unicodedata.normalize("NFKD", html.unescape(text))
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = text.translate({0x2019: "'", 0x2018: "'", 0x2013: " - ", 0x2014: " - "})
    text = _TAG.sub(lambda m: " person " if m[1].lower() == "person" else " ", text)  # CC12M hides names so
    text = boilerplate.remove_addresses(text)
    text = _HANDLE.sub(lambda m: _HUMP.sub(" ", m[1]), text)
    text = boilerplate.remove_selling(_BREAK.sub(", ", text))
    text = _OTHER.sub(" ", _JOINER.sub(" ", text))
    text = _EDGES.sub("", " ".join(_HOLES.sub(r"\1", text).split()))
    if _is_headline(text):  # every word would pass for a name
        return text.lower()
    return _CAPITALS.sub(lambda m: m[0].lower(), text)


def _is_headline(text: str) -> bool:
    """Whether nearly every word but the small ones has a capital."""
    words = [word for word in text.split() if word[0].isalpha() and word.lower() not in _SMALL_WORDS]
    capitals = sum(word[0].isupper() for word in words)
    return text.isupper() or text.istitle() or (capitals >= _MIN_CAPITALS and capitals >= _TITLE_SHARE * len(words))


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
    if boilerplate.is_file_name(raw):
        return "file_name", raw.strip()
    if not any(c.isalpha() for c in cleaned):
        return "boilerplate", "nothing but addresses, markup, prices or codes"
    num_words = len(cleaned.split())
    if num_words > max_words:
        return "too_long", f"{num_words} words"
    return _foreign(raw)


def _foreign(raw: str) -> tuple[str, str] | None:
    words = [bare(word) for word in raw.split()]
    known = set(words)
    if known & ENGLISH:
        return None
    foreign = known & FOREIGN
    if len(foreign) >= (3 if known & _SHARED else 2):
        return "not_english", f"has {', '.join(sorted(foreign)[:5])}"
    accented = [word for word in words if any(c.isalpha() and not c.isascii() for c in word)]
    if len(accented) >= _MIN_ACCENTED and len(accented) >= _ACCENTED_SHARE * len(words) and not known & _SHARED:
        return "not_english", f"has {', '.join(accented[:5])}"
    return None


def bare(word: str) -> str:
    """A word of a raw caption in lower case, without the marks around it."""
    return word.strip(".,;:!?'\"()").lower()
