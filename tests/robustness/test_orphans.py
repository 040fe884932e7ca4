"""A process that is killed leaves others behind: workers, and a stage whose scheduler is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ram.io.locks import exclusive

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])}


def _lives(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _lives(pid)


def test_the_workers_of_a_process_that_is_killed_end_with_it() -> None:
    code = """
from ram.pipeline.executors.local import LocalEngine
import workers
if __name__ == "__main__":
    for pid in LocalEngine(2).map(workers.tell_and_wait, range(100)):
        print(pid, flush=True)
"""
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert run.stdout is not None
    workers = {int(run.stdout.readline()) for _ in range(4)}
    assert all(map(_lives, workers))
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert all(map(_ends, workers))
    run.stdout.close()


def test_a_stage_waits_for_the_one_of_its_kind_that_is_still_at_it(tmp_path: Path) -> None:
    params = (
        "list_sources: {whole_hash_mib: 256, sources: [{name: w, kind: sample_world, num_train: 1, num_finetune: 0, "
    )
    params += "num_dev: 0, num_test: 0, seed: 1, omitted_share: 0.1, false_share: 0.1, foreign_share: 0.1}]}\n"
    (tmp_path / "params.yaml").write_text(params)
    with exclusive(tmp_path / "data" / ".partial" / "list_sources.lock"):
        second = subprocess.Popen(
            [sys.executable, "-m", "ram", "stage", "list_sources"],
            cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert second.stderr is not None
        assert second.stderr.readline() == "list_sources: another process is at it; waiting for it to end\n"
        assert not (tmp_path / "data" / "sources.json").exists()
    assert second.wait(60) == 0, second.stderr.read()
    second.stderr.close()
    assert (tmp_path / "data" / "sources.json").is_file()
