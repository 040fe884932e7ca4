from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

WriteTar = Callable[[Path, dict[str, bytes]], Path]


@pytest.fixture
def write_tar() -> WriteTar:
    """Writes a plain tar of members and gives back its path."""

    def write(path: Path, members: dict[str, bytes]) -> Path:
        with tarfile.open(path, "w") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return write
