from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ram.data_engine.grounding_dino import GroundingDino, GroundingDinoParams, prepared

NAMES = ["dog", "red ball", "tree", "cat"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "dog", "red", "ball", "tree", "cat", "##s"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Grounding-DINO of random weights, as its published checkpoints lie on disk."""
    import transformers as hf

    path = tmp_path_factory.mktemp("dino")
    (path / "vocab.txt").write_text("\n".join(PIECES))
    hf.BertTokenizer(vocab=str(path / "vocab.txt")).save_pretrained(path)
    backbone = hf.SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2, image_size=64,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = {"vocab_size": len(PIECES), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "model_type": "bert"}  # fmt: skip
    config = hf.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2, num_queries=12,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_text_len=16,
    )  # fmt: skip
    torch.manual_seed(0)
    model = hf.GroundingDinoForObjectDetection(config).eval()
    # Random weights put words no closer to one box than to another; wider ones do.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "backbone" not in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def params(folder: Path) -> GroundingDinoParams:
    return GroundingDinoParams(model=str(folder), min_box_score=0.0, min_tag_score=0.0, short_side=96, batch_size=3)


def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in ((60, 80), (96, 64), (40, 40))
    ]


def find(params: GroundingDinoParams, names: list[list[str]]) -> list[list[tuple[float, ...] | None]]:
    return GroundingDino(params, torch.device("cpu")).find(iter(images()[: len(names)]), names)


def test_a_name_has_the_box_that_transformers_itself_scores_highest_for_it(
    folder: Path, params: GroundingDinoParams
) -> None:
    import transformers as hf

    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    text = tokenizer("dog. red ball. tree.", return_tensors="pt")
    one = dataclasses.replace(params, batch_size=1)
    words = tokenizer.convert_ids_to_tokens(text["input_ids"][0])
    for image, boxes in zip(images(), find(one, [NAMES[:3]] * 3), strict=True):
        with torch.no_grad():
            output = model(pixel_values=prepared(image, 96)[None], **text)
        scores_QT = output.logits[0].sigmoid()
        for name, box in zip(NAMES, boxes, strict=False):
            best = scores_QT[:, [words.index(word) for word in name.split()]].mean(1).argmax()
            x, y, width, height = output.pred_boxes[0, best].tolist()
            expected = np.clip([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 0, 1)
            assert box is not None
            np.testing.assert_allclose(box, expected, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_names_that_one_text_has_no_room_for_are_asked_in_several(params: GroundingDinoParams, batch_size: int) -> None:
    few = dataclasses.replace(params, batch_size=batch_size)
    names = [NAMES * 4, ["tree"]]
    found = find(few, names)
    assert [len(boxes) for boxes in found] == [16, 1]
    assert all(box is not None for boxes in found for box in boxes)


def test_below_either_threshold_there_is_no_find(params: GroundingDinoParams) -> None:
    assert find(dataclasses.replace(params, min_box_score=0.9999), [NAMES]) == [[None] * 4]
    assert find(dataclasses.replace(params, min_tag_score=0.9999), [NAMES]) == [[None] * 4]


def test_boxes_lie_in_the_image(params: GroundingDinoParams) -> None:
    for box in find(params, [NAMES])[0]:
        assert box is not None
        assert 0 <= box[0] < box[2] <= 1
        assert 0 <= box[1] < box[3] <= 1


def test_images_are_prepared_as_transformers_prepares_them() -> None:
    hf = pytest.importorskip("transformers")
    pytest.importorskip("torchvision")
    y, x = np.mgrid[0:60, 0:90]
    smooth = Image.fromarray(np.stack([x * 2, y * 3, x + y], axis=2).astype(np.uint8))
    processor = hf.GroundingDinoImageProcessor(size={"shortest_edge": 48, "longest_edge": 80})
    theirs = processor(smooth, return_tensors="pt")["pixel_values"][0]
    ours = prepared(smooth, 48)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=0.03, rtol=0)
    assert prepared(Image.new("RGB", (400, 100)), 48).shape == (3, 20, 80)


def test_thresholds_and_sizes_that_make_no_sense_are_refused(params: GroundingDinoParams) -> None:
    with pytest.raises(ValueError, match="must be in 0"):
        dataclasses.replace(params, min_box_score=1.5)
    with pytest.raises(ValueError, match="must be 1 or more"):
        dataclasses.replace(params, short_side=0)
