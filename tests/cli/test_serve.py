from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ram.cli.main import app
from ram.cli.serve import _finders
from ram.io.tables import write_json
from ram.serving.keys import Keys

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("fastapi", reason="the server needs ram-tagger[serve]")


def test_a_made_key_opens_and_is_shown_once(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    made = CliRunner().invoke(app, ["serve-key", "anna", "--keys", str(path), "--rate", "2"])
    assert made.exit_code == 0
    assert Keys(path).check(f"Bearer {made.output.strip()}").name == "anna"
    assert made.output.strip() not in path.read_text()


def test_without_a_folder_both_models_are_the_registrys_and_with_one_the_challenger_is_named(tmp_path: Path) -> None:
    assert list(_finders("champion", None, tmp_path)) == ["champion", "challenger"]
    assert list(_finders(str(tmp_path), None, tmp_path)) == ["champion"]
    both = _finders(str(tmp_path), str(ROOT), tmp_path)
    assert {name: find() for name, find in both.items()} == {"champion": tmp_path, "challenger": ROOT}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keys", "none"], "no file of keys"),
        (["--max-waiting", "3", "--max-images", "9"], "raise max_waiting"),
        (["--timeout-s", "0"], "timeout_s must be above 0"),
        ([], "no champion"),
    ],
)
def test_a_server_that_could_not_serve_does_not_start(
    options: list[str], message: str, tmp_path: Path, empty_mlflow_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty_mlflow_db}")
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(app, ["serve", *options], catch_exceptions=False)


def test_the_command_serves_a_checkpoint_folder_until_sigterm(tmp_path: Path) -> None:
    from ram.labels import LabelSystem, Tag
    from ram.model.build import ModelParams, build_model
    from ram.model.checkpoint import save_checkpoint

    torch = pytest.importorskip("torch")
    params = ModelParams(
        image_encoder="resnet10t", image_size=32, num_frozen_blocks=3, token_width=16, width=16, num_heads=2,
        ffn_ratio=2.0, text_encoder="package:wordllama", templates="plain",
    )  # fmt: skip
    embedding_KE = torch.nn.functional.normalize(torch.randn(1, 256), dim=1)
    save_checkpoint(tmp_path / "m", build_model(params, embedding_KE), LabelSystem([Tag(tag_id=0, name="dog")]))
    write_json({"default": 0.0}, tmp_path / "m" / "thresholds.json")
    port = _free_port()
    command = [sys.executable, "-m", "ram", "serve", "--model", "m", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        assert _when_it_answers(process, port)["status"] == "ready"
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log.decode()
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _when_it_answers(process: subprocess.Popen[bytes], port: int) -> Any:
    deadline_s = time.monotonic() + 180
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        with (
            contextlib.suppress(ConnectionError),
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection,
        ):
            connection.request("GET", "/readyz")
            return json.loads(connection.getresponse().read())
        time.sleep(0.2)
