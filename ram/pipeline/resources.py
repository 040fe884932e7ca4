"""What a stage takes while it runs: processor, memory, disk and GPU, sampled by a thread; written outside of DVC's outputs.

Two runs of the same stage never take the same, so this is no output of a stage. `ram track` puts it beside the stage's run
in MLflow, if the stage's small outputs are still those that the sampled run wrote.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESOURCES_DIR = Path(".state", "resources")
_FIRST_INTERVAL_S, _MAX_SAMPLES = 1.0, 600

# MLflow shows names like these under "system metrics".
CPU, MEMORY, READ, WRITTEN, GPU = (
    "cpu_utilization_percentage",
    "process_memory_usage_megabytes",
    "disk_read_megabytes",
    "disk_written_megabytes",
    "gpu_0_memory_usage_megabytes",
)


class ResourceSampler:
    """Samples this process and those below it while the block runs; `samples` are {"seconds", and the names above}.

    100 % is one core. Of a long run every second sample goes when there are 600, and from then on half as many are taken.
    """

    def __init__(self, interval_s: float = _FIRST_INTERVAL_S) -> None:
        self.samples: list[dict[str, float]] = []
        self.started = 0.0  # seconds since 1970
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._busy: dict[int, float] = {}  # CPU seconds by process, at the last sample

    def __enter__(self) -> ResourceSampler:
        self.started, self._start = time.time(), time.monotonic()
        self._sample()
        self._thread = threading.Thread(target=self._run, name="resources", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._sample()
            if len(self.samples) >= _MAX_SAMPLES:
                self.samples = self.samples[::2]
                self._interval_s *= 2

    def _sample(self) -> None:
        import psutil

        seconds = time.monotonic() - self._start
        sample = {"seconds": round(seconds, 2), CPU: 0.0, MEMORY: 0.0, READ: 0.0, WRITTEN: 0.0}
        busy: dict[int, float] = {}
        own = psutil.Process()
        for process in (own, *own.children(recursive=True)):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    busy[process.pid] = times.user + times.system
                    sample[MEMORY] += process.memory_info().rss / 2**20
                    if hasattr(process, "io_counters"):  # not on macOS
                        counters = process.io_counters()
                        sample[READ] += counters.read_bytes / 2**20
                        sample[WRITTEN] += counters.write_bytes / 2**20
            except psutil.Error:  # it has ended meanwhile, or is another user's
                continue
        before = self.samples[-1]["seconds"] if self.samples else 0.0
        used = sum(now - self._busy.get(pid, 0.0) for pid, now in busy.items()) if self.samples else 0.0
        sample[CPU] = 100 * used / max(seconds - before, 1e-3)
        self._busy = busy
        torch: Any = sys.modules.get("torch")  # a stage without torch must not load it for this
        if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
            sample[GPU] = torch.cuda.memory_reserved() / 2**20
        self.samples.append({name: round(value, 2) for name, value in sample.items()})


def resources_path(workspace: Path, stage: str) -> Path:
    return workspace / RESOURCES_DIR / f"{stage}.json"


def small_outputs(paths: Iterable[Path]) -> list[Path]:
    """The files among a stage's outputs: cheap to hash, and enough to know a run again by."""
    return sorted(path for path in paths if path.is_file())
