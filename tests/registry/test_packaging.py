from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from ram.inference.tagger import THRESHOLDS_FILE, load
from ram.io.tables import write_json
from ram.labels import LabelSystem, Tag
from ram.model.build import ModelParams, build_model
from ram.model.checkpoint import save_checkpoint
from ram.registry import publish
from ram.registry.packaging import save
from ram.tracking.server import connect, import_mlflow


def _image(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.usefixtures("fake_tagger")
def test_a_registered_model_is_served_by_mlflow_and_a_bad_row_spoils_no_other(
    finished_workspace: Callable[..., Path], tmp_path: Path
) -> None:
    workspace = finished_workspace()
    version = publish.register(workspace)
    client, _ = connect(workspace)
    source = client.get_model_version_download_uri(publish.MODEL_NAME, version)
    before = list(sys.path)
    model = import_mlflow().pyfunc.load_model(source)
    sys.path[:] = before
    good = base64.b64encode(_image("red")).decode()
    (tmp_path / "image.png").write_bytes(_image("blue"))
    rows = [good, f"data:image/png;base64,{good}", "no image!", "aGVsbG8=", str(tmp_path / "image.png")]
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


@pytest.mark.usefixtures("fake_tagger")
def test_a_model_that_cannot_be_loaded_is_not_registered(
    finished_workspace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(directory: str) -> None:
        raise ValueError("half a checkpoint")

    monkeypatch.setattr(sys.modules["ram.inference.tagger"], "load", load)
    workspace = finished_workspace()
    with pytest.raises(Exception, match="half a checkpoint"):
        publish.register(workspace)
    assert publish.list_models(workspace) == []


def test_a_packaged_checkpoint_tags_as_the_checkpoint_does(tmp_path: Path) -> None:
    checkpoint = _write_checkpoint(tmp_path / "checkpoint")
    save(checkpoint, tmp_path / "model")
    before = list(sys.path)
    model = import_mlflow().pyfunc.load_model(str(tmp_path / "model"))
    sys.path[:] = before
    images = [_image("red"), _image("green")]
    rows = pd.DataFrame({"image": [base64.b64encode(image).decode() for image in images]})
    answers = model.predict(rows, params={"threshold": 0.0})
    expected = load(checkpoint)(images, threshold=0.0)
    assert [answer["tags"] for answer in answers] == [[tag.name for tag in tags] for tags in expected]
    for answer, tags in zip(answers, expected, strict=True):
        assert answer["scores"] == pytest.approx([tag.score for tag in tags], abs=1e-5)
    assert [len(answer["tags"]) for answer in model.predict(rows)] == [0, 0]  # the thresholds of the file are high


def test_mlflows_own_server_answers_with_the_same_tags(tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    checkpoint = _write_checkpoint(tmp_path / "checkpoint")
    save(checkpoint, tmp_path / "model")
    before = list(sys.path)
    model = import_mlflow().pyfunc.load_model(str(tmp_path / "model"))
    sys.path[:] = before
    from mlflow.pyfunc import scoring_server  # what `mlflow models serve` runs

    good = base64.b64encode(_image("red")).decode()
    question = {"dataframe_split": {"columns": ["image"], "data": [[good], ["broken"]]}, "params": {"threshold": 0.0}}
    with TestClient(scoring_server.init(model)) as client:
        assert client.get("/ping").status_code == 200
        answer = client.post("/invocations", json=question)
        assert answer.status_code == 200
        first, second = answer.json()["predictions"]
        (wanted,) = load(checkpoint)([_image("red")], threshold=0.0)
        assert first["tags"] == [tag.name for tag in wanted]
        assert first["scores"] == pytest.approx([tag.score for tag in wanted], abs=1e-5)
        assert (second["tags"], bool(second["error"])) == ([], True)
        question["params"] = {"threshold": 0.0, "top_k": 1, "tags": ["cat"]}
        assert client.post("/invocations", json=question).json()["predictions"][0]["tags"] == ["cat"]


def _write_checkpoint(directory: Path) -> Path:
    params = ModelParams(
        image_encoder="resnet10t", image_size=32, num_frozen_blocks=3, token_width=16, width=16, num_heads=2,
        ffn_ratio=2.0, text_encoder="package:wordllama", templates="plain",
    )  # fmt: skip
    embedding_KE = torch.nn.functional.normalize(torch.randn(2, 256, generator=torch.Generator().manual_seed(0)), dim=1)
    tags = LabelSystem([Tag(tag_id=0, name="dog"), Tag(tag_id=1, name="cat")])
    save_checkpoint(directory, build_model(params, embedding_KE), tags)
    write_json({"default": 0.999, "tags": {}, "open_set": 0.999}, directory / THRESHOLDS_FILE)
    return directory
