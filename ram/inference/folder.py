"""The pictures of a folder."""

from __future__ import annotations

from pathlib import Path

from ram.inference.sources import SUFFIXES


def pictures_in(folder: Path) -> list[Path]:
    """The picture files under `folder`, in the order of their names; `ValueError` where there is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one that holds pictures")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"no picture under {folder}; the suffixes are {', '.join(sorted(SUFFIXES))}")
    return found
