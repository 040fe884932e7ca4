from __future__ import annotations

import time

import pytest

from ram.resources import CPU, MEMORY, ResourceSampler


def test_busy_time_and_memory_are_those_of_the_block() -> None:
    with ResourceSampler(interval_s=0.05) as sampler:
        while not sampler.samples:  # the first sample is of before
            time.sleep(0.01)
        start = time.process_time()
        held = bytearray(b"x" * 80_000_000)
        while time.process_time() - start < 0.5:
            sum(range(1000))
        used = time.process_time() - start
    seconds = [sample["seconds"] for sample in sampler.samples]
    assert seconds == sorted(seconds)
    steps = [b - a for a, b in zip([0.0, *seconds], seconds, strict=False)]
    measured = sum(sample[CPU] / 100 * step for sample, step in zip(sampler.samples, steps, strict=True))
    assert 0.7 * used < measured < 1.5 * used + 0.1
    assert max(s[MEMORY] for s in sampler.samples) - sampler.samples[0][MEMORY] > 60
    assert len(held) == 80_000_000


def test_long_runs_keep_few_samples_that_still_span_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ram.resources._MAX_SAMPLES", 4)
    with ResourceSampler(interval_s=0.01) as sampler:
        start = time.monotonic()
        while sampler._interval_s < 0.08 and time.monotonic() < start + 60:
            time.sleep(0.01)
        lasted = time.monotonic() - start
    assert sampler._interval_s >= 0.08
    assert len(sampler.samples) <= 5
    assert sampler.samples[0]["seconds"] < 0.5 * lasted
    assert sampler.samples[-1]["seconds"] >= lasted - 0.01
