from __future__ import annotations

import itertools

import pytest
import torch

from ram.model.generation import beam_search

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
