from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ram.io.tables import write_json
from ram.labels import LabelSystem, Tag
from ram.model.checkpoint import CONFIG, WEIGHTS, complete_label_system, load_checkpoint, save_checkpoint
from ram.model.ram import RAM

LABELS = LabelSystem([Tag(tag_id=i, name=f"tag {chr(97 + i)}") for i in range(7)])


def test_a_loaded_model_gives_what_the_saved_one_gave(
    tmp_path: Path, make_model: Callable[..., RAM], images_BCHW: torch.Tensor
) -> None:
    model = make_model(pretrained=None, standardize_features=True).eval()
    model.image_encoder.fit_standardization([model.trunk(images_BCHW)])
    version = save_checkpoint(tmp_path, model, LABELS, {"epoch": 3})
    loaded = load_checkpoint(tmp_path)
    assert loaded.version == version
    assert loaded.extra == {"epoch": 3}
    assert loaded.params == model.params
    assert loaded.label_system.version == LABELS.version
    assert loaded.model.trunk_fingerprint() == model.trunk_fingerprint()
    with torch.inference_mode():
        tokens_BND = model.encode(images_BCHW)
        assert torch.equal(loaded.model.encode(images_BCHW), tokens_BND)
        assert torch.equal(loaded.model.tag_logits(tokens_BND), model.tag_logits(tokens_BND))
        tags = [["dog"]] * 3
        assert loaded.model.generate_captions(tokens_BND, tags) == model.generate_captions(tokens_BND, tags)


def test_loading_reads_no_pretrained_weights(
    tmp_path: Path, make_model: Callable[..., RAM], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, make_model(), LABELS)
    config = json.loads((tmp_path / CONFIG).read_text())
    config["params"]["pretrained"] = "hub"
    (tmp_path / CONFIG).write_text(json.dumps(config))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("went to the network"))
    assert load_checkpoint(tmp_path).params.pretrained == "hub"


def test_version_changes_with_the_weights_and_not_with_what_lies_beside(
    tmp_path: Path, make_model: Callable[..., RAM]
) -> None:
    model = make_model()
    first = save_checkpoint(tmp_path, model, LABELS)
    (tmp_path / "thresholds.json").write_text("{}")
    assert load_checkpoint(tmp_path).version == first
    with torch.no_grad():
        model.tag_decoder.fc.bias.add_(1)
    assert save_checkpoint(tmp_path, model, LABELS) != first


def test_a_tag_with_a_zero_embedding_is_refused_by_name(tmp_path: Path, make_model: Callable[..., RAM]) -> None:
    model = make_model()
    save_checkpoint(tmp_path / "good", model, LABELS)
    model.tag_embedding_KE[2] = 0
    with pytest.raises(ValueError, match="1 tags have a zero or non-finite embedding: 'tag c'"):
        save_checkpoint(tmp_path / "bad", model, LABELS)
    tensors = load_file(tmp_path / "good" / WEIGHTS)
    name = next(n for n in tensors if n.endswith("tag_embedding_KE"))
    tensors[name][3] = float("nan")
    save_file(tensors, tmp_path / "good" / WEIGHTS)
    with pytest.raises(ValueError, match="'tag d'"):
        load_checkpoint(tmp_path / "good")


def test_a_label_system_says_what_embedded_it_and_embeddings_of_another_model_are_refused(
    tmp_path: Path, make_model: Callable[..., RAM]
) -> None:
    model = make_model()
    save_checkpoint(tmp_path, model, LABELS)
    made_by = load_checkpoint(tmp_path).label_system.embeddings
    assert made_by is not None
    assert (made_by.text_encoder, made_by.label_system_version) == (model.params.text_encoder, LABELS.version)
    tensors = load_file(tmp_path / WEIGHTS)
    name = next(n for n in tensors if n.endswith("tag_embedding_KE"))
    save_file(tensors | {name: tensors[name].flip(0).contiguous()}, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match="other tag embeddings than"):
        load_checkpoint(tmp_path)


def test_thresholds_join_the_label_system_without_changing_the_version(
    tmp_path: Path, make_model: Callable[..., RAM]
) -> None:
    version = save_checkpoint(tmp_path, make_model(), LABELS)
    complete = complete_label_system(tmp_path, {"default": 0.25, "tags": {"tag b": 0.75}})
    write_json(complete.to_json(), tmp_path / "label_system.json")
    loaded = load_checkpoint(tmp_path)
    assert loaded.version == version
    assert [tag.threshold for tag in loaded.label_system][:3] == [0.25, 0.75, 0.25]
    assert loaded.label_system.embeddings is not None


def test_a_model_moved_to_larger_images_is_loaded_as_such(tmp_path: Path, make_model: Callable[..., RAM]) -> None:
    model = make_model(image_encoder="swin_tiny_patch4_window7_224", num_frozen_blocks=0, caption=None).eval()
    model.set_image_size(128)
    save_checkpoint(tmp_path, model, LABELS)
    loaded = load_checkpoint(tmp_path).model
    assert loaded.preprocess.image_size == loaded.params.image_size == 128
    images_BCHW = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        assert torch.equal(loaded.encode(images_BCHW), model.encode(images_BCHW))


@pytest.mark.parametrize("harm", ["missing tensor", "wrong shape", "cut short", "no config", "other format"])
def test_a_folder_that_is_no_whole_checkpoint_is_refused_saying_what_is_wrong(
    tmp_path: Path, make_model: Callable[..., RAM], harm: str
) -> None:
    save_checkpoint(tmp_path, make_model(), LABELS)
    weights = tmp_path / WEIGHTS
    tensors = load_file(weights)
    if harm == "missing tensor":
        del tensors["tag_decoder.fc.bias"]
        save_file(tensors, weights)
        wanted = r"tag_decoder\.fc\.bias is missing"
    elif harm == "wrong shape":
        save_file(tensors | {"tag_decoder.fc.bias": torch.zeros(2)}, weights)
        wanted = r"tag_decoder\.fc\.bias is \(2,\), not \(1,\)"
    elif harm == "cut short":
        weights.write_bytes(weights.read_bytes()[:1000])
        wanted = "broken or not whole"
    elif harm == "no config":
        (tmp_path / CONFIG).unlink()
        wanted = "no checkpoint: it has no config.json"
    else:
        config = json.loads((tmp_path / CONFIG).read_text())
        (tmp_path / CONFIG).write_text(json.dumps({**config, "format_version": 99}))
        wanted = "format 99"
    with pytest.raises(ValueError, match=wanted):
        load_checkpoint(tmp_path)


def test_a_label_system_of_another_size_is_not_saved(tmp_path: Path, make_model: Callable[..., RAM]) -> None:
    with pytest.raises(ValueError, match="8 tags, the model 7"):
        save_checkpoint(tmp_path, make_model(), LABELS.extended(["zebra"]))
