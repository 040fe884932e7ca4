from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.captions.distilled.token_classifier import (
    MAX_IDS,
    PADDING,
    TEMPLATES,
    Votes,
    context_keys,
    key_of,
    learn_votes,
    parts_of,
)

KEYS = st.integers(0, (len(TEMPLATES) + 1) * MAX_IDS**3)


@settings(deadline=None)
@given(st.lists(KEYS, unique=True, max_size=200), st.lists(KEYS, max_size=50))
def test_contexts_are_found_as_in_a_dictionary(known: list[int], others: list[int]) -> None:
    table = Votes(np.array(known, np.int64), np.zeros((len(known), 2), np.int32))
    expected = {key: row for row, key in enumerate(sorted(known))}
    wanted = known + others
    assert table.find(np.array(wanted, np.int64)).tolist() == [expected.get(key, len(known)) for key in wanted]


@given(st.integers(0, len(TEMPLATES) - 1), st.lists(st.integers(0, MAX_IDS - 1), min_size=3, max_size=3))
def test_the_number_of_a_context_tells_its_parts(template: int, ids: list[int]) -> None:
    own = ids[: len(TEMPLATES[template])]
    assert parts_of(key_of(template, own)) == (template, own)


def test_contexts_are_the_windows_that_the_templates_name() -> None:
    words, classes = np.array([0, 0, 5, 6, 7, 0, 0]), np.array([0, 0, 1, 2, 3, 0, 0])
    columns = {"w": words, "c": classes, "d": words}
    keys = context_keys(columns, np.array([3]))
    for template, parts in enumerate(TEMPLATES):
        ids = [int(columns[part[0]][3 + int(part[1:])]) for part in parts]
        assert keys[template].tolist() == [key_of(template, ids)]


def test_a_label_that_depends_on_the_word_before_is_learned() -> None:
    generator = np.random.default_rng(0)
    words = generator.integers(1, 5, size=4000)
    words[:PADDING] = words[-PADDING:] = 0
    places = np.arange(PADDING, len(words) - PADDING)
    labels = ((words[places] == 1) & (words[places - 1] == 2)).astype(np.int64)
    columns = dict.fromkeys("wcd", words)
    keys = context_keys(columns, places)
    votes = learn_votes(keys, labels, np.ones(len(labels), bool), num_labels=2, min_count=2, seed=0)
    assert (votes.labels(columns, places) == labels).mean() > 0.999


def test_words_with_an_open_label_teach_nothing() -> None:
    words = np.array([0, 0, *[1, 2] * 200, 0, 0])
    places = np.arange(2, len(words) - 2)
    labels = (words[places] == 1).astype(np.int64)
    wrong = np.where(words[places] == 2, 1, labels)
    columns = dict.fromkeys("wcd", words)
    keys = context_keys(columns, places)
    votes = learn_votes(keys, wrong, words[places] == 1, num_labels=2, min_count=2, seed=0)
    assert votes.labels(columns, places).tolist() == labels.tolist()
