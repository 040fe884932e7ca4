"""Which language a caption is in, by how frequent its words are in each; for statistics over many captions."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "tr", "id")
UNDETERMINED = "undetermined"
_NUM_WORDS = 10_000  # of each language, the most frequent
_UNKNOWN = -7.0  # log10 of the frequency of a word that is not among them
_MIN_MARGIN = 1.0  # powers of ten by which the likeliest language must beat the next


@cache
def _frequencies() -> dict[str, dict[int, float]]:
    """{word: {position in LANGUAGES: log10 of its share of the words of that language}}."""
    from wordfreq import get_frequency_dict, top_n_list

    words: dict[str, dict[int, float]] = {}
    for position, language in enumerate(LANGUAGES):
        frequencies = get_frequency_dict(language, "small")
        for word in top_n_list(language, _NUM_WORDS, "small"):
            words.setdefault(word, {})[position] = math.log10(frequencies[word])
    return words


def guess_language(caption: str) -> str:
    """One of `LANGUAGES`, the name of another script ("cyrillic"), or `UNDETERMINED`, which short captions mostly are."""
    letters = [c for c in caption if c.isalpha()]
    if not letters:
        return UNDETERMINED
    scripts = Counter(unicodedata.name(c, "UNKNOWN").split()[0].lower() for c in letters)
    script, count = scripts.most_common(1)[0]
    if script != "latin" and 2 * count > len(letters):
        return script
    scores = [0.0] * len(LANGUAGES)
    for raw in caption.lower().split():
        known = _frequencies().get(raw.strip(".,;:!?\"'()"), {})
        for position in range(len(LANGUAGES)):
            scores[position] += known.get(position, _UNKNOWN)
    best, second = sorted(range(len(LANGUAGES)), key=lambda position: -scores[position])[:2]
    return LANGUAGES[best] if scores[best] - scores[second] >= _MIN_MARGIN else UNDETERMINED


def count_languages(captions: Iterable[str]) -> dict[str, int]:
    """Number of captions in each language, the most frequent first."""
    return dict(Counter(map(guess_language, captions)).most_common())
