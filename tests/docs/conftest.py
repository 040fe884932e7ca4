"""A folder as the pages speak of it: pictures, labels, a small model that is the champion."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from photos import draw_photos, write_model


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn pictures, a.jpg to h.jpg."""
    root = tmp_path_factory.mktemp("photos")
    drawn = sorted((draw_photos(root, 8) / "drawn").iterdir())
    for name, path in zip("abcdefgh", drawn, strict=True):
        path.rename(root / f"{name}.jpg")
    return root


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def here(tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder for one page, with `photo.jpg`, `photos/` and `mine`; the registry's champion is `mine`, too."""
    (tmp_path / "photos").mkdir()
    for path in photos.glob("*.jpg"):
        shutil.copyfile(path, tmp_path / "photos" / path.name)
    for name, source in (("photo.jpg", "a.jpg"), ("other.jpg", "b.jpg")):
        shutil.copyfile(photos / source, tmp_path / name)
    shutil.copytree(model, tmp_path / "mine")

    def champion(name: str) -> Path:
        assert name == "champion"
        return model

    monkeypatch.setattr("ram.tracking.model_dir", champion)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_python(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[str, str]]], dict[str, object]]:
    """Runs blocks of one page, (where it stands, text), in one session, as a person who types them would.

    A block that begins with `# ram/….py` is a new module of that name, and is there for the blocks after it.
    """
    added: list[str] = []

    def run(blocks: list[tuple[str, str]]) -> dict[str, object]:
        names: dict[str, object] = {"__name__": "page"}
        for where, text in blocks:
            first = text.partition("\n")[0]
            if first.startswith("# ram/") and first.endswith(".py"):
                added.append(_add_module(here, Path(first.removeprefix("# ")), text, monkeypatch))
            else:
                exec(compile(text, where, "exec"), names)
        return names

    yield run
    import sys

    for name in added:
        sys.modules.pop(name, None)


def _add_module(root: Path, path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import importlib

    file = root / "added" / path
    assert not (Path(__file__).parents[2] / path).exists(), f"{path} is a module already"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    package = importlib.import_module(".".join(path.parts[:-1]))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    return ".".join(path.with_suffix("").parts)
