from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flows.environment import NO_TELEMETRY, child_environment

ROOT = Path(__file__).resolve().parents[2]


def test_stages_run_under_the_interpreter_of_the_flow() -> None:
    command = ["python", "-c", "import sys; print(sys.prefix)"]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sys.prefix


def test_importing_the_flows_turns_telemetry_off_before_prefect_is_there(tmp_path: Path) -> None:
    code = "import flows, os, sys; assert 'prefect' not in sys.modules; print(os.environ['PREFECT_HOME'])"
    environment = {name: value for name, value in os.environ.items() if name not in {*NO_TELEMETRY, "PREFECT_HOME"}}
    check = "".join(f"; assert os.environ['{name}'] == '{value}'" for name, value in NO_TELEMETRY.items())
    done = subprocess.run(
        [sys.executable, "-c", code + check],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / ".state" / "prefect")


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    code = "import flows, os; print(os.environ['PREFECT_HOME'], os.environ['HF_HUB_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": "mine", "HF_HUB_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mine", "0"]
