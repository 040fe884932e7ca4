from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.captions import clean_caption, skip_reason
from ram.captions.distilled.token_labels import words_of
from ram.captions.distilled.tokenize import WordReader

MAX_WORDS, MAX_CHARS = 8, 60
PIECES = st.sampled_from(
    [
        "a", "A", "the", "Dog", "dogs,", "dog's", "don't", "with", "der", "und", "die", "black-and-white", "t-shirt", "&",
        "&amp;", "&lt;b&gt;", "<b>", "<PERSON>", "<", ">", "@name", "#tag", "www.example.org", "https://example.org/a",
        "me@example.org", "caf\u00e9", "\u72ac", "\u2019", "12", "--", "!!", "", " ", "\t", "\n", "\x1c", "\u00a0", "x" * 70,
        ".", ",", "!", "?", "'s", "n't", "does", "man,", "street.", "photo", "image", "by", "may", "contain", "day", "Stock",
        "sale!", "for", "size", "m", "XL", "la", "el", "con", "por", "IMG", "high-res", "of", "courtesy", "Getty", "read", "more",
    ]
)  # fmt: skip
SIMPLE = st.sampled_from(
    [
        "A", "a", "dog", "dogs,", "runs", "in", "the", "man", "'s", ".", ",", "!", "street.", "black-and-white", "don't",
        "size", "photo", "by", "sale", "brand", "new", "stock", "day",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), *(st.lists(some, max_size=12).map(" ".join) for some in (PIECES, SIMPLE)))
CAPTIONS = st.lists(TEXTS, max_size=6)


@settings(max_examples=600, deadline=None)
@given(st.lists(CAPTIONS, min_size=1, max_size=3))
def test_batches_are_read_as_caption_by_caption(batches: list[list[str]]) -> None:
    reader = WordReader(MAX_WORDS, MAX_CHARS)
    for captions in batches:
        words = reader.read(pa.array(captions, pa.string()))
        read: dict[int, list[str]] = {}
        for caption, word in zip(words.captions.tolist(), words.ids.tolist(), strict=True):
            read.setdefault(caption, []).append(reader.words[word])
        assert words.captions.tolist() == sorted(words.captions.tolist())
        for index, raw in enumerate(captions):
            cleaned = clean_caption(raw[:MAX_CHARS])
            refusal = skip_reason(raw, cleaned, MAX_WORDS, MAX_CHARS)
            assert words.refused.get(index) == refusal
            assert read.get(index, []) == ([] if refusal else words_of(cleaned))


def test_a_reader_that_has_forgotten_reads_as_before() -> None:
    reader = WordReader(MAX_WORDS, MAX_CHARS)
    first = reader.read(pa.array(["a dog on a mat"]))
    num_tokens = reader.num_tokens
    reader.read(pa.array(["the cat is black"]))
    assert reader.num_tokens > num_tokens
    reader.forget()
    assert reader.num_tokens == 0
    again = reader.read(pa.array(["a dog on a mat"]))
    assert again.ids.tolist() == first.ids.tolist()
