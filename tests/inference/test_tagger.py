from __future__ import annotations

import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ram.inference.tagger import Tagger, TagScore, Thresholds, load
from ram.io.images import ImageError
from ram.labels import LabelSystem, Tag
from ram.model.checkpoint import Checkpoint
from ram.model.text_encoder import make_text_encoder

NAMES = ["dog", "cat", "beach", "red", "run"]


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def _scores(checkpoint: Checkpoint, image: Image.Image) -> dict[str, float]:
    model = checkpoint.model
    with torch.inference_mode():
        logits = model.tag_logits(model.encode(model.preprocess(image)[None]))[0]
    return dict(zip(NAMES, logits.sigmoid().tolist(), strict=True))


def test_paths_bytes_images_and_arrays_give_the_same_tags(
    checkpoint: Checkpoint, image: Image.Image, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    (tmp_path / "p.png").write_bytes(buffer.getvalue())
    tagger = Tagger(checkpoint)
    images = [tmp_path / "p.png", str(tmp_path / "p.png"), buffer.getvalue(), image, np.asarray(image)]
    found = tagger(images, threshold=0.0, batch_size=2)
    assert all([t.name for t in tags] == [t.name for t in found[0]] for tags in found)
    wanted = _scores(checkpoint, image)
    for tags in found:
        assert {t.name: t.score for t in tags} == pytest.approx(wanted, abs=1e-4)
        assert [t.score for t in tags] == sorted((t.score for t in tags), reverse=True)
    (alone,) = tagger(image, threshold=0.0)
    assert {t.name: t.score for t in alone} == pytest.approx(wanted, abs=1e-4)
    assert tagger([]) == []


def test_a_threshold_of_the_call_has_an_effect_and_those_of_the_file_hold_without_one(
    checkpoint: Checkpoint, image: Image.Image
) -> None:
    scores = _scores(checkpoint, image)
    best, second = sorted(scores, key=scores.__getitem__, reverse=True)[:2]
    thresholds = {"default": 0.9999, "tags": {second: 0.0}, "open_set": 0.0, "calibration": {"a": 1}}
    (checkpoint.directory / "thresholds.json").write_text(json.dumps(thresholds))
    tagger = load(checkpoint.directory)
    assert [t.name for t in tagger([image])[0]] == [second]
    middle = (scores[best] + scores[second]) / 2
    assert [(t.name, t.threshold) for t in tagger([image], threshold=middle)[0]] == [(best, middle)]
    assert [t.name for t in tagger([image], tags=["zeppelin", best])[0]] == ["zeppelin"], (
        "new tags have the open-set one"
    )


def test_top_k_keeps_the_best(checkpoint: Checkpoint, image: Image.Image) -> None:
    tagger = Tagger(checkpoint)
    every = tagger([image], threshold=0.0)[0]
    assert tagger([image], threshold=0.0, top_k=2)[0] == every[:2]


def test_known_names_synonyms_and_new_names_are_scored_together(checkpoint: Checkpoint, image: Image.Image) -> None:
    pytest.importorskip("wordllama")
    tagger = Tagger(checkpoint)
    found = {t.name: t for t in tagger([image], tags=["hound", "zeppelin", "red"], threshold=0.0)[0]}
    scores = _scores(checkpoint, image)
    assert found["hound"].tag_id == 0
    assert found["hound"].score == pytest.approx(scores["dog"], abs=1e-4)
    assert found["red"].score == pytest.approx(scores["red"], abs=1e-4)
    model = checkpoint.model
    embedding = torch.from_numpy(make_text_encoder("package:wordllama").embed(["zeppelin"], "plain"))
    with torch.inference_mode():
        wanted = model.tag_logits(model.encode(model.preprocess(image)[None]), embedding).sigmoid().item()
    assert found["zeppelin"] == TagScore(None, "zeppelin", pytest.approx(wanted, abs=1e-4), 0.0, "open")
    np.testing.assert_allclose(tagger.scores([image], tags=["zeppelin", "dog"])[0], [wanted, scores["dog"]], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold must be in"),
        ({"top_k": 0}, "top_k"),
        ({"tags": []}, "tags is empty"),
        ({"tags": "dog"}, "list of names"),
        ({"tags": [" "]}, "at least one letter"),
    ],
)
def test_wrong_arguments_are_refused(checkpoint: Checkpoint, image: Image.Image, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tagger(checkpoint)([image], **options)


def test_a_file_that_is_no_image_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"p\.jpg"):
        Tagger(checkpoint)([tmp_path / "p.jpg"])
    with pytest.raises(OSError, match=r"q\.jpg"):
        Tagger(checkpoint)([tmp_path / "q.jpg"])


def test_names_of_the_registry_are_asked_of_it_and_folders_are_not(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    registry = types.ModuleType("ram.tracking.server")
    registry.model_dir = lambda uri: asked.append(uri) or checkpoint.directory
    monkeypatch.setitem(sys.modules, "ram.tracking.server", registry)
    for source in ("champion", "3", "models:/ram-tagger@champion"):
        assert load(source).version == checkpoint.version
    assert asked == ["champion", "3", "models:/ram-tagger@champion"]
    assert load(str(checkpoint.directory)).version == checkpoint.version
    for nothing in (tmp_path / "nothing", str(tmp_path / "nothing"), tmp_path):
        with pytest.raises(ValueError, match="no checkpoint"):
            load(nothing)


def test_the_thresholds_of_the_complete_label_system_are_those_that_the_tagger_goes_by() -> None:
    labels = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(("dog", "cat", "cow"))])
    document = {"default": 0.4, "open_set": 0.3, "tags": {"dog": 0.8, "cow": 0.0}, "kinds": {"object": 0.6}}
    thresholds = Thresholds.from_json(document)
    assert [tag.threshold for tag in labels.with_thresholds(document)] == [thresholds.of(tag) for tag in labels]
