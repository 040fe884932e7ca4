"""Learning-rate factors as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleParams:
    """The learning rate over the steps; rates are given relative to the peak."""

    kind: str = "onecycle"  # ram: warm-up, then x decay an epoch; cosine: to the floor; onecycle: cosine up and down
    warmup_steps: int = 0
    warmup_share: float = 0.0  # of all steps; the longer of the two warm-ups holds
    decay: float = 0.9  # ram: factor an epoch
    floor: float = 0.0  # smallest factor; RAM: 5e-7 of 1e-4 = 0.005

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.kind!r}; known: {', '.join(SCHEDULES)}")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be negative, got {self.warmup_steps}")
        if not 0 <= self.warmup_share < 1:
            raise ValueError(f"warmup_share must be in [0, 1), got {self.warmup_share}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be in (0, 1], got {self.decay}")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor must be in [0, 1), got {self.floor}")


def learning_rate_factor(params: ScheduleParams, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor on the peak learning rate at `step` (from 0), between `floor` and 1."""
    total = max(steps_per_epoch * epochs, 1)
    warmup = min(max(params.warmup_steps, round(params.warmup_share * total)), total)
    return SCHEDULES[params.kind](params, step, steps_per_epoch, total, warmup)


def _linear_warmup(floor: float, step: int, warmup: int) -> float:
    return floor + (1 - floor) * (step + 1) / warmup


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def _ram(params: ScheduleParams, step: int, steps_per_epoch: int, total: int, warmup: int) -> float:
    """RAM's configuration: linear warm-up by step, then x decay at every epoch's start, never below the floor."""
    if step < warmup:
        return _linear_warmup(params.floor, step, warmup)
    return max(params.floor, params.decay ** (step // max(steps_per_epoch, 1)))


def _cosine_to_floor(params: ScheduleParams, step: int, steps_per_epoch: int, total: int, warmup: int) -> float:
    if step < warmup:
        return _linear_warmup(params.floor, step, warmup)
    return _cosine(1.0, params.floor, (step - warmup) / max(total - warmup, 1))


def _onecycle(params: ScheduleParams, step: int, steps_per_epoch: int, total: int, warmup: int) -> float:
    """Smith 2018: from 1/25 of the peak up to it over the warm-up, then down to the floor, both along a cosine."""
    if step < warmup:
        return _cosine(max(params.floor, 0.04), 1.0, step / warmup)
    return _cosine(1.0, params.floor, (step - warmup) / max(total - warmup, 1))


SCHEDULES: dict[str, Callable[[ScheduleParams, int, int, int, int], float]] = {
    "ram": _ram,
    "cosine": _cosine_to_floor,
    "onecycle": _onecycle,
}
