from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tars

WriteTar = Callable[[Path, dict[str, bytes]], Path]


@pytest.fixture
def write_tar() -> WriteTar:
    """Writes a plain tar of members and gives back its path."""

    return tars.write_tar
