"""Files of tensors from elsewhere: read without running anything that stands in them, whole or not at all."""

from __future__ import annotations

import pickle
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

_NUM_NAMED = 5


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file. `ValueError` for one that is broken, or whose header lies."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is broken or not whole: {error}") from error


def shapes_of_safetensors(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape, from the header alone. `ValueError` for a file that is broken."""
    try:
        with safe_open(path, "pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is broken or not whole: {error}") from error


def read_pickled(path: Path) -> Any:
    """What `torch.save` wrote of tensors, plain values and `argparse.Namespace`; nothing else is unpickled.

    `ValueError` for a file that holds more, since reading that could run code, and for one that is broken.
    """
    _refuse_compressed(path)
    try:
        with torch.serialization.safe_globals([Namespace]):
            # Mapped, not read: most of a published file is the optimizer's state, which is not wanted.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        # PyTorch's own words advise to read it unsafely; the last of them say what it met.
        reason = str(error).partition("Check the documentation")[0].split("\n\t")[-1].strip().splitlines()[-1]
        raise ValueError(
            f"{path} is refused: it holds more than tensors, plain values and argparse.Namespace, or is broken; "
            f'reading that could run code. Save its "model" entry alone, where you trust it. ({reason})'
        ) from error
    except Exception as error:  # of a broken pickle anything may come: EOFError, KeyError, UnicodeDecodeError …
        raise ValueError(f"{path} is broken or not whole: {type(error).__name__}: {error}"[:600]) from error


def named_tensors(document: Any, path: Path, *keys: str) -> dict[str, Tensor]:
    """The named tensors that a document holds under the first of `keys` it has, or itself; `ValueError` else."""
    tensors = document
    if isinstance(document, Mapping):
        tensors = next((document[key] for key in keys if key in document), document)
    if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
        held = sorted(map(str, document))[:_NUM_NAMED] if isinstance(document, Mapping) else type(document).__name__
        raise ValueError(
            f'{path} must hold named tensors, as {{"{keys[0]}": …}} or by themselves, as published files do; it holds {held}'
        )
    return check_finite({str(name): tensor for name, tensor in tensors.items()}, path)


def check_finite(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors; `ValueError` that names the first of those with a number that is none or has no end."""
    bad = [
        name
        for name, tensor in tensors.items()
        # The sum is fast and takes no memory; it may run over where no number does.
        if tensor.is_floating_point()
        and not torch.isfinite(tensor.sum(dtype=torch.float32))
        and not torch.isfinite(tensor).all()
    ]
    if bad:
        raise ValueError(
            f"{path}: {len(bad)} tensors have values that are no finite numbers, first: {', '.join(bad[:_NUM_NAMED])}; "
            "the model it came from diverged, take an earlier one"
        )
    return tensors


def _refuse_compressed(path: Path) -> None:
    """PyTorch writes its archives uncompressed; one that is not may grow a thousandfold."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is broken or not whole: {error}") from error
    if packed:
        raise ValueError(f"{path} is refused: {packed[0]!r} in it is compressed, which PyTorch never does")
