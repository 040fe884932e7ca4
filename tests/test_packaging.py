from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from ram import registry
from ram.tracking import connect, import_mlflow

pytestmark = pytest.mark.usefixtures("fake_tagger")


def _picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_registered_model_is_served_by_mlflow_and_a_bad_row_spoils_no_other(
    finished_workspace: Callable[..., Path], tmp_path: Path
) -> None:
    workspace = finished_workspace()
    version = registry.register(workspace)
    client, _ = connect(workspace)
    source = client.get_model_version_download_uri(registry.MODEL_NAME, version)
    before = list(sys.path)
    model = import_mlflow().pyfunc.load_model(source)
    sys.path[:] = before
    good = base64.b64encode(_picture("red")).decode()
    (tmp_path / "picture.png").write_bytes(_picture("blue"))
    rows = [good, f"data:image/png;base64,{good}", "no picture!", "aGVsbG8=", str(tmp_path / "picture.png")]
    answers = model.predict(pd.DataFrame({"image": rows}))
    assert [answer["tags"] for answer in answers] == [["cat", "dog"], ["cat", "dog"], [], [], []]
    assert answers[0] == {"tags": ["cat", "dog"], "scores": [0.9, 0.6], "error": None}
    assert [bool(answer["error"]) for answer in answers] == [False, False, True, True, True]

    one = pd.DataFrame({"image": [good]})
    assert model.predict(one, params={"threshold": 0.8})[0]["tags"] == ["cat"]
    assert model.predict(one, params={"top_k": 1})[0]["tags"] == ["cat"]
    assert model.predict(one, params={"tags": ["dog"]})[0]["tags"] == ["dog"]
    assert model.predict(one, params={"tags": ["nothing"]})[0]["error"] == "no embedding for 'nothing'"

    trusting = import_mlflow().pyfunc.load_model(source, model_config={"allow_paths": True})
    sys.path[:] = before
    assert trusting.predict(pd.DataFrame({"image": rows[-1:]}))[0]["tags"] == ["cat", "dog"]


def test_a_model_that_cannot_be_loaded_is_not_registered(
    finished_workspace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(directory: str) -> None:
        raise ValueError("half a checkpoint")

    monkeypatch.setattr(sys.modules["ram.inference.tagger"], "load", load)
    workspace = finished_workspace()
    with pytest.raises(Exception, match="half a checkpoint"):
        registry.register(workspace)
    assert registry.list_models(workspace) == []
