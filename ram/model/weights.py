"""Where a backbone's pretrained weights come from: a Python package, a file, or the model hub."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ram.model.packages import is_package_spec, package_path
from ram.model.tensor_files import named_tensors, read_pickled, read_safetensors

# The input that a package's weights were trained on, where timm's configuration says otherwise: (mean, std).
_INPUTS = {"package:efficientnet_lite0": ((127 / 255,) * 3, (128 / 255,) * 3)}


def load_pretrained(backbone: nn.Module, spec: str) -> None:
    """Load the weights that `spec` (`package:<name>` or a file) means into a timm backbone without its classifier.

    Raises `ValueError` naming the first tensors that do not fit.
    """
    path = package_path(spec) if is_package_spec(spec) else Path(spec)
    if not path.is_file():
        raise ValueError(f"no pretrained weights at {path}; give a file, package:efficientnet_lite0, hub or null")
    tensors = _read(path)
    expected = backbone.state_dict()
    if not expected.keys() <= tensors.keys():
        tensors = _by_order(tensors, expected, spec)
    wrong = [
        f"{k} {tuple(tensors[k].shape)} for {tuple(v.shape)}"
        for k, v in expected.items()
        if tensors[k].shape != v.shape
    ]
    if wrong:
        raise ValueError(f"{spec} does not fit this backbone, first: {'; '.join(wrong[:3])}")
    backbone.load_state_dict({name: tensors[name] for name in expected})


def input_statistics(
    spec: str | None, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], ...]:
    """Mean and deviation of the input that weights `spec` want; the given ones unless they are known to differ."""
    return _INPUTS.get(spec or "", (mean, std))


def _read(path: Path) -> dict[str, Tensor]:
    document = read_safetensors(path) if path.suffix == ".safetensors" else read_pickled(path)
    return named_tensors(document, path, "model", "state_dict")


def _by_order(tensors: dict[str, Tensor], expected: dict[str, Tensor], spec: str) -> dict[str, Tensor]:
    """Other names, same architecture: the tensors come in the same order, each of the expected shape.

    The classifier, which comes last and is not wanted, may be over.
    """
    given = list(tensors.items())
    if len(given) < len(expected):
        missing = [name for name in expected if name not in tensors]
        raise ValueError(
            f"{spec} has {len(given)} tensors, this backbone {len(expected)}; it wants first: {', '.join(missing[:3])}, "
            f"and finds first: {', '.join(list(tensors)[:3]) or 'nothing'}"
        )
    for (name, wanted), (other, tensor) in zip(expected.items(), given, strict=False):
        if wanted.shape != tensor.shape:
            raise ValueError(
                f"{spec} does not fit this backbone: {other} {tuple(tensor.shape)} stands where "
                f"{name} {tuple(wanted.shape)} is due"
            )
    return {name: tensor for name, (_, tensor) in zip(expected, given, strict=False)}
