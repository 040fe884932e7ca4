from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from ram.pipeline.resources import CPU, MEMORY, ResourceSampler

BUSY = """
import json, time
from ram.pipeline.resources import ResourceSampler
with ResourceSampler(interval_s=0.05) as sampler:
    start = time.process_time()
    held = bytearray(b"x" * 80_000_000)
    while time.process_time() - start < 0.5:
        sum(range(1000))
    used = time.process_time() - start
assert len(held) == 80_000_000
print(json.dumps([sampler.samples, used]))
"""


def test_busy_time_and_memory_are_those_of_the_block() -> None:
    # In a process of its own: what other tests left running under this one counts as its own, and ends when it likes.
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, check=True)
    samples, used = json.loads(done.stdout)
    seconds = [sample["seconds"] for sample in samples]
    assert seconds == sorted(seconds)
    steps = [b - a for a, b in zip([0.0, *seconds], seconds, strict=False)]
    measured = sum(sample[CPU] / 100 * step for sample, step in zip(samples, steps, strict=True))
    assert 0.7 * used < measured < 1.5 * used + 0.1
    assert max(s[MEMORY] for s in samples) - samples[0][MEMORY] > 60


def test_long_runs_keep_few_samples_that_still_span_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ram.pipeline.resources._MAX_SAMPLES", 4)
    with ResourceSampler(interval_s=0.01) as sampler:
        start = time.monotonic()
        while sampler._interval_s < 0.08 and time.monotonic() < start + 60:
            time.sleep(0.01)
        lasted = time.monotonic() - start
    assert sampler._interval_s >= 0.08
    assert len(sampler.samples) <= 5
    assert sampler.samples[0]["seconds"] < 0.5 * lasted
    assert sampler.samples[-1]["seconds"] >= lasted - 0.01
