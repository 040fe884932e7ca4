from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import published_models as published
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import ram
from ram.cli.import_checkpoint import convert, unique_names
from ram.cli.main import app

NAMES = ["Dog", "train", "red", "Train", "cat", "TRAIN", "sofa", "sit", "tree", "sky", "beach", "horse"]
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def tag_list(tmp_path: Path) -> Path:
    (tmp_path / "tags.txt").write_text("\n".join(NAMES) + "\n")
    return tmp_path / "tags.txt"


def _file(tmp_path: Path, family: str = "ram", tensors: dict[str, torch.Tensor] | None = None) -> Path:
    torch.save({"model": tensors or published.random_tensors(family), "epoch": 1}, tmp_path / "published.pth")
    return tmp_path / "published.pth"


@pytest.mark.parametrize("family", ["ram", "ram_plus", "tag2text"])
def test_the_loaded_folder_gives_the_logits_of_the_published_model(tmp_path: Path, tag_list: Path, family: str) -> None:
    file = _file(tmp_path, family)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["import-checkpoint", str(file), "--out", str(out), "--tag-list", str(tag_list)])
    assert result.exit_code == 0, result.output
    assert f"{family}, 12 tags" in result.output
    assert "2 names stood before in the list and got a number (3: train (2), 5: train (3))" in result.output
    tagger = ram.load(out)
    expected = published.Reference(family, published.random_tensors(family), 12).logits(IMAGES)
    np.testing.assert_allclose(tagger.logits(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert tagger.label_system.names[:6] == ["dog", "train", "red", "train (2)", "cat", "train (3)"]
    preprocess = tagger.checkpoint.model.preprocess
    assert (preprocess.image_size, preprocess.mean, preprocess.std) == (
        32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )  # fmt: skip
    image = np.zeros((40, 50, 3), np.uint8)
    by_name = tagger.scores([image], tags=["cat", "dog"])
    np.testing.assert_allclose(by_name, tagger.scores([image])[:, [4, 0]], atol=1e-6)


def test_half_takes_half_the_space_and_changes_logits_by_rounding(tmp_path: Path, tag_list: Path) -> None:
    file = _file(tmp_path)
    convert(file, tmp_path / "full", tag_list=tag_list)
    convert(file, tmp_path / "half", tag_list=tag_list, half=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] / sizes[0] == pytest.approx(0.5, abs=0.1)
    assert all(t.dtype == torch.float16 for t in load_file(tmp_path / "half" / "model.safetensors").values())
    full, half = (ram.load(tmp_path / name).logits(IMAGES) for name in ("full", "half"))
    assert 0 < (full - half).abs().max() < 0.02


def test_numbers_too_large_for_half_are_refused_by_name(tmp_path: Path, tag_list: Path) -> None:
    tensors = published.random_tensors("ram")
    tensors["wordvec_proj.bias"][0] = -7e4
    with pytest.raises(ValueError, match=r"cannot hold the numbers of tag_decoder\.query_proj\.bias"):
        convert(_file(tmp_path, tensors=tensors), tmp_path / "out", tag_list=tag_list, half=True)


def test_the_head_of_a_vocabulary_is_no_name(tmp_path: Path, tag_list: Path) -> None:
    tag_list.write_text("# the tags\n# kind: any\n" + tag_list.read_text())
    assert convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list)["num_tags"] == len(NAMES)
    assert ram.load(tmp_path / "out").label_system.names[0] == "dog"


def test_the_text_encoder_goes_on_record_and_its_absence_is_said(
    tmp_path: Path, tag_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list)
    tagger = ram.load(tmp_path / "out")
    assert tagger.label_system.embeddings is not None
    assert tagger.label_system.embeddings.text_encoder == "clip:openai/clip-vit-base-patch16"
    assert tagger.label_system.embeddings.templates == "ram"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="cannot load a text encoder from 'openai/clip-vit-base-patch16'"):
        tagger.scores([np.zeros((40, 50, 3), np.uint8)], tags=["dog", "zeppelin"])


@pytest.mark.parametrize("family", ["ram", "ram_plus"])
def test_new_names_are_scored_beside_the_models_own(
    tmp_path: Path, tag_list: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Encoder:
        def embed(self, names: list[str], templates: str) -> np.ndarray:
            assert templates == "ram"
            rows = np.random.default_rng(0).normal(size=(len(names), 16))
            return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    asked: list[str] = []
    monkeypatch.setattr("ram.inference.tagger.make_text_encoder", lambda spec: asked.append(spec) or Encoder())
    convert(_file(tmp_path, family), tmp_path / "out", tag_list=tag_list)
    tagger = ram.load(tmp_path / "out")
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    mixed = tagger.scores([image], tags=["cat", "zeppelin"])
    assert asked == ["clip:openai/clip-vit-base-patch16"]
    np.testing.assert_allclose(mixed[:, :1], tagger.scores([image])[:, [4]], atol=1e-6)
    model = tagger.checkpoint.model
    with torch.inference_mode():
        tokens_BND = model.encode(model.preprocess(Image.fromarray(image))[None])
        alone = model.tag_logits(tokens_BND, torch.from_numpy(Encoder().embed(["zeppelin"], "ram"))).sigmoid()
    np.testing.assert_allclose(mixed[:, 1:], alone, atol=1e-6)


def test_a_model_of_learned_tags_says_that_it_scores_no_new_ones(tmp_path: Path, tag_list: Path) -> None:
    convert(_file(tmp_path, "tag2text"), tmp_path / "out", tag_list=tag_list)
    with pytest.raises(ValueError, match="learned without a text encoder"):
        ram.load(tmp_path / "out").scores([np.zeros((40, 50, 3), np.uint8)], tags=["zeppelin"])


def test_embeddings_left_at_zero_are_refused_by_name(tmp_path: Path, tag_list: Path) -> None:
    tensors = published.random_tensors("ram")
    tensors["label_embed"][4] = 0
    with pytest.raises(ValueError, match="1 tags have a zero or non-finite embedding: 'cat'"):
        convert(_file(tmp_path, tensors=tensors), tmp_path / "out", tag_list=tag_list)


def test_without_a_list_of_names_the_error_says_which_to_give(tmp_path: Path, tag_list: Path) -> None:
    with pytest.raises(ValueError, match=r"no names are here for the 12 tags.*--tag-list FILE"):
        convert(_file(tmp_path), tmp_path / "out")
    tag_list.write_text("dog\ncat\n")
    with pytest.raises(ValueError, match="the list has 2 names, the file 12 tags"):
        convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list)
    tag_list.write_text("dog\n\ncat\n")
    with pytest.raises(ValueError, match="line 2 is empty"):
        convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list)
    assert not (tmp_path / "out").exists()


def test_published_thresholds_become_those_of_the_tagger(tmp_path: Path, tag_list: Path) -> None:
    values = [f"{0.4 + i / 100:.2f}" for i in range(12)]
    limits = tmp_path / "limits.txt"
    limits.write_text("\n".join(values))
    convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list, thresholds=limits)
    tagger = ram.load(tmp_path / "out")
    assert [f"{tagger.thresholds.of(tag):.2f}" for tag in tagger.label_system] == values
    assert tagger.thresholds.open_set == 0.5
    convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list)
    assert {ram.load(tmp_path / "out").thresholds.of(tag) for tag in tagger.label_system} == {0.68}
    for text, says in (("0.5\n" * 11, "11 thresholds for 12 tags"), ("0.5\n" * 11 + "high", "line 12")):
        limits.write_text(text)
        with pytest.raises(ValueError, match=says):
            convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list, thresholds=limits)


def test_another_image_size_is_kept_by_the_folder(tmp_path: Path, tag_list: Path) -> None:
    convert(_file(tmp_path), tmp_path / "out", tag_list=tag_list, image_size=64)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["preprocess"]["image_size"] == 64
    tagger = ram.load(tmp_path / "out")
    assert tagger.logits(torch.randn(1, 3, 64, 64)).isfinite().all()


def test_names_that_stand_twice_keep_their_place_and_stay_findable() -> None:
    names, renamed = unique_names(["a", "A", "a (2)", "b-c", "b c", "a"])
    assert names == ["a", "a (2)", "a (2) (2)", "b-c", "b c (2)", "a (3)"]
    assert renamed == {"1": "a (2)", "2": "a (2) (2)", "4": "b c (2)", "5": "a (3)"}
