"""Drawn images with a table of what they show, and a small model that knows a part of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from photos import draw_photos, write_model


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 160 images, and `everything.csv`: all that each shows."""
    return draw_photos(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("start") / "model")
