"""The one walk over a folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ram.io.images import SUFFIXES


def walk(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[Path]:
    """The files under `folder` with one of the suffixes, in any case: folder by folder, each in the order of its names.

    Links to folders are not followed, so the walk ends. `ValueError` for a folder that may not be listed.
    """

    def refuse(error: OSError) -> None:
        raise ValueError(
            f"{error.filename} cannot be listed ({error.strerror}); make it readable, or move it"
        ) from error

    for directory, names, files in os.walk(folder, onerror=refuse):
        names.sort()  # os.walk goes on in this order
        for name in sorted(files):
            if name.lower().endswith(suffixes):
                yield Path(directory, name)


def images_in(folder: Path) -> list[Path]:
    """The image files under `folder`, in the order of their names; `ValueError` where there is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one that holds images")
    found = sorted(walk(folder))
    if not found:
        raise ValueError(f"no image under {folder}; the suffixes are {', '.join(sorted(SUFFIXES))}")
    return found
