from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from ram.model.generation import beam_search, nucleus_sample

START, END, NUM_PIECES = 0, 1, 5


def _table(seed: int, batch_size: int) -> torch.Tensor:
    """Log-probabilities (B, last piece, next piece) of a language that remembers one piece."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(batch_size, NUM_PIECES, NUM_PIECES, generator=generator) * 2
    table[:, :, START] = -torch.inf
    return table.log_softmax(-1)


def _search(table: torch.Tensor, num_beams: int, **options: object) -> tuple[list[list[int]], list[float]]:
    def step(ids_RL: torch.Tensor, cache: list | None) -> tuple[torch.Tensor, list]:
        rows = torch.arange(len(ids_RL)) // num_beams
        if cache:  # the cache follows the beams: it holds what every row ended with before
            assert torch.equal(cache[0][0], ids_RL[:, -2])
        return table[rows, ids_RL[:, -1]].clone(), [(ids_RL[:, -1].clone(), ids_RL[:, -1].clone())]

    defaults = {"max_tokens": 6, "min_tokens": 0, "length_penalty": 0.0}
    return beam_search(
        step, batch_size=len(table), num_beams=num_beams, start_id=START, end_id=END, device=torch.device("cpu"),
        **{**defaults, **options},
    )  # fmt: skip


def _all_texts(table: torch.Tensor, max_tokens: int, min_tokens: int) -> dict[tuple[int, ...], float]:
    texts = {}
    for length in range(min_tokens, max_tokens - 1):
        for text in itertools.product(range(2, NUM_PIECES), repeat=length):
            path = [START, *text, END]
            texts[text] = sum(table[a, b].item() for a, b in itertools.pairwise(path))
    return texts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("min_tokens", [0, 2])
def test_with_enough_beams_it_finds_the_most_probable_text_of_all(seed: int, min_tokens: int) -> None:
    table = _table(seed, batch_size=3)
    texts, log_probabilities = _search(table, num_beams=150, min_tokens=min_tokens)
    for row in range(3):
        everything = _all_texts(table[row], max_tokens=6, min_tokens=min_tokens)
        best = max(everything, key=everything.__getitem__)
        assert texts[row] == list(best)
        assert log_probabilities[row] == pytest.approx(everything[best], abs=1e-4)


def test_one_beam_takes_the_most_probable_piece_each_time() -> None:
    table = _table(7, batch_size=2)
    texts, _ = _search(table, num_beams=1, max_tokens=5)
    for row in range(2):
        wanted, piece = [], START
        while len(wanted) < 3:
            piece = int(table[row, piece].argmax())
            if piece == END:
                break
            wanted.append(piece)
        assert texts[row] == wanted


def test_a_higher_length_penalty_gives_texts_that_are_no_shorter() -> None:
    table = _table(3, batch_size=8)
    short, _ = _search(table, num_beams=100, length_penalty=0.0)
    long, _ = _search(table, num_beams=100, length_penalty=2.0)
    assert all(len(a) <= len(b) for a, b in zip(short, long, strict=True))
    assert sum(map(len, short)) < sum(map(len, long))


def test_no_beams_are_refused() -> None:
    with pytest.raises(ValueError, match="num_beams"):
        _search(_table(0, 1), num_beams=0)


def _sample(
    table: torch.Tensor, seeds: list[int], top_p: float, **options: object
) -> tuple[list[list[int]], list[float]]:
    def step(ids_RL: torch.Tensor, cache: list | None) -> tuple[torch.Tensor, list]:
        return table[torch.arange(len(ids_RL)), ids_RL[:, -1]].clone(), []

    defaults = {"temperature": 1.0, "max_tokens": 6, "min_tokens": 0}
    return nucleus_sample(
        step, seeds=seeds, top_p=top_p, start_id=START, end_id=END, device=torch.device("cpu"), **{**defaults, **options}
    )  # fmt: skip


@pytest.mark.parametrize(("top_p", "temperature"), [(1.0, 1.0), (0.7, 1.0), (0.9, 0.5)])
def test_texts_are_drawn_as_often_as_their_probability_in_the_nucleus_says(top_p: float, temperature: float) -> None:
    table, num, max_tokens = _table(5, batch_size=1)[0], 20_000, 4
    texts, log_probabilities = _sample(
        table.expand(num, -1, -1), list(range(num)), top_p, temperature=temperature, max_tokens=max_tokens
    )
    inside = {}
    for last in range(NUM_PIECES):  # the fewest likeliest pieces that hold top_p, one by one
        chances = np.exp(table[last].double().numpy() / temperature)
        chances /= chances.sum()
        kept, held = {}, 0.0
        for piece in np.argsort(-chances):
            if held < top_p:
                kept[int(piece)], held = chances[piece], held + chances[piece]
        inside[last] = {piece: chance / held for piece, chance in kept.items()}
    counts = Counter(tuple(text) for text in texts)
    expected = {}
    for length in range(max_tokens - 1):
        for text in itertools.product(range(2, NUM_PIECES), repeat=length):
            path = [START, *text, *([END] if length < max_tokens - 2 else [])]  # at the last place the end is certain
            expected[text] = math.prod(inside[a].get(b, 0.0) for a, b in itertools.pairwise(path))
    assert sum(expected.values()) == pytest.approx(1.0, abs=1e-6)
    assert set(counts) <= {text for text, chance in expected.items() if chance > 0}
    for text, chance in expected.items():
        assert abs(counts[text] / num - chance) < 5 * math.sqrt(chance * (1 - chance) / num) + 1e-6
    everything = _all_texts(table, max_tokens, 0)
    assert log_probabilities[0] == pytest.approx(everything[tuple(texts[0])], abs=1e-4)


def test_a_tiny_nucleus_holds_the_likeliest_piece_alone() -> None:
    table = _table(7, batch_size=2)
    assert _sample(table, [1, 2], 1e-6, min_tokens=2) == _search(table, num_beams=1, min_tokens=2)


def test_a_drawn_text_depends_on_its_own_seed_and_not_on_its_batch() -> None:
    table = _table(3, batch_size=1).expand(4, -1, -1)
    together, _ = _sample(table, [1, 2, 1, 9], 1.0)
    assert together[0] == together[2]
    assert [_sample(table[:1], [seed], 1.0)[0][0] for seed in (1, 2, 1, 9)] == together
    assert len({tuple(_sample(table[:1], [seed], 1.0)[0][0]) for seed in range(30)}) > 5


@pytest.mark.parametrize(("top_p", "temperature"), [(0.0, 1.0), (1.1, 1.0), (0.5, 0.0)])
def test_impossible_nuclei_are_refused(top_p: float, temperature: float) -> None:
    with pytest.raises(ValueError, match="top_p must be in"):
        _sample(_table(0, 1), [0], top_p, temperature=temperature)
