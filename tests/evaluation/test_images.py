from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tars import write_tar

from ram.evaluation.images import find_images
from ram.evaluation.label_formats import Problems


def jpeg(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 10), (shade,) * 3).save(stream, "PNG")
    return stream.getvalue()


FILES = {
    "val/a.jpg": jpeg(10),
    "val/b.JPEG": jpeg(20),
    "train/b.jpg": jpeg(30),
    "broken.png": b"no image",
    "c.txt": b"x",
}


@pytest.fixture(params=["folder", "tar", "shards", "pattern"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        for name, content in FILES.items():
            (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "p" / name).write_bytes(content)
        return str(tmp_path / "p")
    tars = [list(FILES)] if request.param == "tar" else [list(FILES)[:2], list(FILES)[2:]]
    for number, names in enumerate(tars):
        write_tar(tmp_path / f"{number}.tar", {f"./{name}": FILES[name] for name in names})
    return str({"tar": tmp_path / "0.tar", "shards": tmp_path, "pattern": tmp_path / "*.tar"}[request.param])


def shade(image: Image.Image) -> int:
    return int(np.asarray(image)[0, 0, 0])


def test_images_are_found_by_path_name_and_stem(path: str) -> None:
    finder = find_images(path)
    assert len(finder) == 4
    found = {name: finder.find(name) for name in ("val/a.jpg", "val/a", "a.jpg", "a", "./val/b", "other/a.jpg")}
    assert found == {
        "val/a.jpg": ["val/a.jpg"], "val/a": ["val/a.jpg"], "a.jpg": ["val/a.jpg"], "a": ["val/a.jpg"],
        "./val/b": ["val/b.JPEG"], "other/a.jpg": ["val/a.jpg"],
    }  # fmt: skip
    assert [shade(finder.open(name)) for name in ("val/a.jpg", "val/b.JPEG", "train/b.jpg")] == [10, 20, 30]


def test_what_is_missing_or_ambiguous_is_counted_and_the_rest_found(path: str) -> None:
    problems = Problems()
    numbers, found = find_images(path).locate(["zebra", "val/a", "b", "a.jpg"], problems)
    assert (numbers.tolist(), found) == ([1], ["val/a.jpg"])
    assert dict(problems.items()) == {"missing_image": 1, "ambiguous_image": 1, "repeated_image": 1}


def test_a_broken_image_is_blank_and_on_record(path: str) -> None:
    finder = find_images(path)
    assert shade(finder.open("broken.png")) == 0
    assert "not a readable image" in finder.broken["broken.png"]
    finder.open("val/a.jpg")
    assert list(finder.broken) == ["broken.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="no image in"):
        find_images(str(tmp_path))
