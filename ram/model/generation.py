"""Texts out of the probabilities of the next word piece, for a batch: beam search (greedy with one beam), or nucleus sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

# B texts, S beams a text, R = B·S rows, L pieces so far, V vocabulary

Cache = list[tuple[Tensor, Tensor]]
Step = Callable[[Tensor, Cache | None], tuple[Tensor, Cache]]


def beam_search(
    step: Step,
    *,
    batch_size: int,
    num_beams: int,
    start_id: int,
    end_id: int,
    max_tokens: int,
    min_tokens: int,
    length_penalty: float,
    device: torch.device,
) -> tuple[list[list[int]], list[float]]:
    """The best row of pieces of every text, without start and end, and its log-probability with the end.

    `step(ids_RL, cache)` gives the log-probabilities (R, V) of the next piece, and its cache, rows of which follow the
    beams. A beam that has ended stays as it is and competes on. The best has the highest log-probability divided by its
    length to the power `length_penalty`. A row has `max_tokens` pieces at most, start and end included.
    """
    if num_beams < 1:
        raise ValueError(f"num_beams must be at least 1, got {num_beams}")
    ids_RL = torch.full((batch_size * num_beams, 1), start_id, device=device)
    scores_BS = torch.full((batch_size, num_beams), -torch.inf, device=device)
    scores_BS[:, 0] = 0.0  # all beams start alike: only the first may branch
    ended_R = torch.zeros(batch_size * num_beams, dtype=torch.bool, device=device)
    lengths_R = torch.zeros(batch_size * num_beams, device=device)
    first_row_B1 = torch.arange(batch_size, device=device)[:, None] * num_beams
    cache: Cache | None = None
    for length in range(1, max_tokens):
        log_probability_RV, cache = step(ids_RL, cache)
        _place_end(log_probability_RV, ended_R, end_id, length, max_tokens, min_tokens)
        total_BSV = scores_BS[..., None] + log_probability_RV.unflatten(0, (batch_size, num_beams))
        scores_BS, choice_BS = total_BSV.flatten(1).topk(num_beams)
        num_pieces = log_probability_RV.shape[1]
        parent_R = (first_row_B1 + choice_BS // num_pieces).flatten()
        piece_R = (choice_BS % num_pieces).flatten()
        ids_RL = torch.cat([ids_RL[parent_R], piece_R[:, None]], dim=1)
        lengths_R = lengths_R[parent_R] + (~ended_R[parent_R]).float()
        ended_R = ended_R[parent_R] | (piece_R == end_id)
        if ended_R.all():
            break
        cache = [(key[parent_R], value[parent_R]) for key, value in cache]
    ranking_BS = scores_BS / lengths_R.unflatten(0, (batch_size, num_beams)).clamp_min(1) ** length_penalty
    best_R = (first_row_B1 + ranking_BS.argmax(1, keepdim=True)).flatten()
    return [_until(row, end_id) for row in ids_RL[best_R, 1:].tolist()], scores_BS.flatten()[best_R].tolist()


def nucleus_sample(
    step: Step,
    *,
    seeds: Sequence[int],
    top_p: float,
    temperature: float,
    start_id: int,
    end_id: int,
    max_tokens: int,
    min_tokens: int,
    device: torch.device,
) -> tuple[list[list[int]], list[float]]:
    """One drawn row of pieces a text, without start and end, and its log-probability with the end: the model's own.

    Each piece is drawn from the fewest likeliest ones that hold `top_p` of the probability, after the logits are divided
    by `temperature` (Holtzman et al., "The Curious Case of Neural Text Degeneration", section 3.1). A text's random
    numbers depend on its seed alone, not on its batch. `step`, `max_tokens` and `min_tokens` are those of `beam_search`.
    """
    if not 0 < top_p <= 1 or temperature <= 0:
        raise ValueError(f"top_p must be in (0, 1] and temperature above 0, got {top_p} and {temperature}")
    drawn_RL = np.stack([np.random.default_rng(seed).random(max_tokens) for seed in seeds])
    uniform_RL = torch.from_numpy(drawn_RL).to(device, torch.float32)
    ids_RL = torch.full((len(seeds), 1), start_id, device=device)
    score_R = torch.zeros(len(seeds), device=device)
    ended_R = torch.zeros(len(seeds), dtype=torch.bool, device=device)
    cache: Cache | None = None
    for length in range(1, max_tokens):
        log_probability_RV, cache = step(ids_RL, cache)
        _place_end(log_probability_RV, ended_R, end_id, length, max_tokens, min_tokens)
        piece_R = _draw(log_probability_RV / temperature, top_p, uniform_RL[:, length])
        score_R = score_R + log_probability_RV.gather(1, piece_R[:, None])[:, 0]
        ids_RL = torch.cat([ids_RL, piece_R[:, None]], dim=1)
        ended_R = ended_R | (piece_R == end_id)
        if ended_R.all():
            break
    return [_until(row, end_id) for row in ids_RL[:, 1:].tolist()], score_R.tolist()


def _draw(logits_RV: Tensor, top_p: float, uniform_R: Tensor) -> Tensor:
    """A piece a row: where the uniform number falls in the cumulated probability of the nucleus, likeliest first."""
    probability_RV, piece_RV = logits_RV.softmax(-1).sort(dim=-1, descending=True, stable=True)
    cumulated_RV = probability_RV.cumsum(-1)
    inside_RV = cumulated_RV - probability_RV < top_p  # the likeliest is always inside
    held_R = (probability_RV * inside_RV).sum(-1)
    place_R = (cumulated_RV < (uniform_R * held_R)[:, None]).sum(-1)
    place_R = torch.minimum(place_R, inside_RV.sum(-1) - 1)
    return piece_RV.gather(1, place_R[:, None])[:, 0]


def _place_end(
    log_probability_RV: Tensor, ended_R: Tensor, end_id: int, length: int, max_tokens: int, min_tokens: int
) -> None:
    """In place: no end before `min_tokens` pieces, the end alone at the last place and after an end."""
    if length - 1 < min_tokens:
        log_probability_RV[:, end_id] = -torch.inf
    if length == max_tokens - 1:  # the last place is the end's
        end_R = log_probability_RV[:, end_id].clone()
        log_probability_RV[:] = -torch.inf
        log_probability_RV[:, end_id] = end_R if min_tokens <= length - 1 else 0.0
    log_probability_RV[ended_R] = -torch.inf
    log_probability_RV[ended_R, end_id] = 0.0


def _until(ids: list[int], end_id: int) -> list[int]:
    return ids[: ids.index(end_id)] if end_id in ids else ids
