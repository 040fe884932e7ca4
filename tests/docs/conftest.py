"""A folder as the pages speak of it: images, labels, a small model that is the champion."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from code_blocks import ROOT, file_of
from photos import draw_photos, write_model


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn images, a.jpg to h.jpg."""
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
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")

    def champion(name: str) -> Path:
        assert name == "champion"
        return model

    monkeypatch.setattr("ram.tracking.server.model_dir", champion)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_python(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[tuple[str, str]]], None]]:
    """Runs blocks of one page, (where it stands, text), in one session, as a person who types them would.

    A block that begins with `# ram/….py` is a new module of that name, and is there for the blocks after it. What blocks
    add to registries is taken out again.
    """
    added: list[str] = []
    before = [(registry, dict(registry)) for registry in _registries()]

    def run(blocks: list[tuple[str, str]]) -> None:
        names: dict[str, object] = {"__name__": "page"}
        for where, text in blocks:
            file = file_of(text)
            if file is None:
                exec(compile(text, where, "exec"), names)
            elif file.startswith("ram/") and text.startswith(f"# {file}\n"):
                added.append(_add_module(here, Path(file), text, monkeypatch))

    yield run
    for registry, content in before:
        registry.clear()
        registry.update(content)
    for name in added:
        sys.modules.pop(name, None)


def _registries() -> list[dict]:
    from ram.data_engine.detectors import DETECTORS
    from ram.data_engine.localize import LOCALIZERS
    from ram.datasets import KINDS
    from ram.model.text_encoder import TEXT_ENCODERS

    return [KINDS, TEXT_ENCODERS, LOCALIZERS, DETECTORS]


def _add_module(root: Path, path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    assert not (ROOT / path).exists(), f"{path} is a module already"
    file = root / "added" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    package = importlib.import_module(".".join(path.parts[:-1]))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    return ".".join(path.with_suffix("").parts)
