"""The images of docs/data_engine.md can be made again, from any workspace in which the cleaning has run."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_blocks import ROOT, load_script
from PIL import Image

make_images = load_script(ROOT / "docs" / "make_images.py")


def test_the_images_of_the_page_are_those_that_the_script_makes(drawn_workspace: Path, tmp_path: Path) -> None:
    paths = make_images.make(drawn_workspace, tmp_path, "toy")
    shown = {path.name for path in (ROOT / "docs" / "images").glob("*.png")}
    assert {path.name for path in paths} == shown
    again = make_images.make(drawn_workspace, tmp_path / "again", "toy")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_kept_and_removed_rows_of_a_tag_are_shown_apart(drawn_workspace: Path) -> None:
    workspace = make_images.Workspace(drawn_workspace)
    rows = workspace.of_tag("toy")
    assert 0 < rows["kept"].sum() < len(rows)
    image = make_images.of_a_tag(workspace, "toy")
    colors = {color for _, color in image.getcolors(1 << 20)}
    assert {
        Image.new("RGB", (1, 1), name).getpixel((0, 0)) for name in (make_images.KEPT, make_images.REMOVED)
    } <= colors


def test_a_tag_that_is_not_there_is_named(drawn_workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tag 'zebra'"):
        make_images.make(drawn_workspace, tmp_path, "zebra")


def test_the_images_in_docs_are_small() -> None:
    for path in (ROOT / "docs" / "images").glob("*.png"):
        assert path.stat().st_size < 150_000, path
