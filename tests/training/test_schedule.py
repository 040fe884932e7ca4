from __future__ import annotations

import pytest

from ram.training.schedule import SCHEDULES, ScheduleParams, learning_rate_factor


def factors(params: ScheduleParams, steps_per_epoch: int = 10, epochs: int = 5) -> list[float]:
    return [learning_rate_factor(params, step, steps_per_epoch, epochs) for step in range(steps_per_epoch * epochs)]


def test_ram_warms_up_by_step_then_decays_by_epoch_to_the_floor() -> None:
    got = factors(ScheduleParams(kind="ram", warmup_steps=10, decay=0.5, floor=0.2))
    assert got[0] == pytest.approx(0.2 + 0.8 / 10)
    assert got[9] == 1.0
    assert got[10:20] == [0.5] * 10
    assert got[20:30] == [0.25] * 10
    assert got[30:] == [0.2] * 20


def test_cosine_starts_at_the_peak_is_half_way_in_the_middle_and_ends_near_the_floor() -> None:
    got = factors(ScheduleParams(kind="cosine", floor=0.1))
    assert got[0] == 1.0
    assert got[25] == pytest.approx(0.55)
    assert got[-1] == pytest.approx(0.1, abs=0.01)


def test_onecycle_rises_to_the_peak_at_the_end_of_the_warm_up_and_falls_after_it() -> None:
    got = factors(ScheduleParams(kind="onecycle", warmup_share=0.3))
    assert got[0] == pytest.approx(0.04)
    assert got[15] == 1.0
    assert got[:16] == sorted(got[:16])
    assert got[15:] == sorted(got[15:], reverse=True)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_factor_lies_between_the_floor_and_one(kind: str) -> None:
    for warmup in (0, 7, 1000):
        for value in factors(ScheduleParams(kind=kind, warmup_steps=warmup, floor=0.02)):
            assert 0.02 <= value <= 1.0


def test_an_unknown_schedule_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="ram, cosine, onecycle"):
        ScheduleParams(kind="linear")
