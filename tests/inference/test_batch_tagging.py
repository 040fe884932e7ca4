from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path

import pytest

from ram.inference.batch_tagging import rescore

Score = namedtuple("Score", "tag_id name score threshold kind")


class Tagger:
    """Finds the words that a "image" consists of; `unreadable` cannot be read. Notes what it is asked."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.asked: list[bytes] = []

    def __call__(self, images: list[bytes]) -> list[list[Score]]:
        self.asked += images
        if b"unreadable" in images:
            raise OSError("no image")
        return [[Score(0, word, 0.75, 0.5, "object") for word in image.decode().split()] for image in images]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name, text in {"a.jpg": "cat", "sub/b.png": "dog", "note.txt": "no image"}.items():
        (tmp_path / "in" / name).write_text(text)
    return tmp_path / "in"


def _tags(path: Path) -> dict[str, list[str]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["image"]: [tag["name"] for tag in line.get("tags", [])] for line in lines}


def test_the_next_run_scores_what_is_new_or_changed_and_drops_what_is_gone(folder: Path, tmp_path: Path) -> None:
    tagger, out = Tagger("v1"), tmp_path / "out"
    first = rescore(tagger, folder, out)
    assert (first.num_images, first.num_scored, first.num_kept) == (2, 2, 0)
    assert _tags(first.path) == {"a.jpg": ["cat"], "sub/b.png": ["dog"]}

    tagger.asked.clear()
    (folder / "c.jpg").write_text("bird")
    (folder / "a.jpg").write_text("cat cup")
    (folder / "sub" / "b.png").rename(folder / "moved.png")
    second = rescore(tagger, folder, out)
    assert sorted(tagger.asked) == [b"bird", b"cat cup"]
    assert (second.num_scored, second.num_kept) == (2, 1)
    assert _tags(second.path) == {"a.jpg": ["cat", "cup"], "c.jpg": ["bird"], "moved.png": ["dog"]}


def test_another_model_scores_everything_into_a_file_of_its_own(folder: Path, tmp_path: Path) -> None:
    rescore(Tagger("v1"), folder, tmp_path / "out")
    other = Tagger("v2")
    assert rescore(other, folder, tmp_path / "out").num_scored == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["v1.jsonl", "v2.jsonl"]


def test_an_image_that_cannot_be_read_stands_there_with_its_reason_and_is_not_tried_again(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.jpg").write_text("unreadable")
    tagger = Tagger("v1")
    first = rescore(tagger, folder, tmp_path / "out")
    assert first.num_refused == 1
    lines = [json.loads(line) for line in first.path.read_text().splitlines()]
    assert {line["image"]: line.get("error") for line in lines}["broken.jpg"] == "no image"
    assert rescore(tagger, folder, tmp_path / "out").num_scored == 0


def test_a_killed_run_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    class Killed(Tagger):
        def __call__(self, images: list[bytes]) -> list[list[Score]]:
            if self.asked:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        rescore(Killed("v1"), folder, tmp_path / "out")
    progress = tmp_path / "out" / ".v1.progress.jsonl"
    with progress.open("a") as stream:
        stream.write('{"sha256": "half a line')
    tagger = Tagger("v1")
    done = rescore(tagger, folder, tmp_path / "out")
    assert tagger.asked == [b"dog"]
    assert _tags(done.path) == {"a.jpg": ["cat"], "sub/b.png": ["dog"]}
    assert not progress.exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        rescore(Tagger("v1"), tmp_path / "none", tmp_path / "out")
    with pytest.raises(ValueError, match="no image under"):
        rescore(Tagger("v1"), tmp_path, tmp_path / "out")
