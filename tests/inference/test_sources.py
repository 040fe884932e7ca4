from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from tars import write_tar

from ram.inference import sources
from ram.inference.sources import named_images
from ram.io.images import ImageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/2.JPG", "b/1.png", "a.webp", "notes.txt", "b/c/3.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    write_tar(tmp_path / "b" / "s.tar", {"x/0.jpg": b"0", "x/0.json": b"{}", "1.png": b"1"})
    return tmp_path


def names(*arguments: str, stdin: tuple[str, ...] = (), root: Path) -> list[str]:
    return [p.name.removeprefix(f"{root}/") for p in named_images(arguments, stdin)]


def test_a_folder_gives_its_images_and_shards_in_order(tree: Path) -> None:
    wanted = ["a.webp", "b/1.png", "b/2.JPG", "b/s.tar/x/0.jpg", "b/s.tar/1.png", "b/c/3.tiff"]
    assert names(str(tree), root=tree) == wanted


def test_patterns_files_and_a_list_on_stdin_are_taken_together(tree: Path) -> None:
    listed = (f"{tree}/b/1.png\n", "\n", f"{tree}/b/*.JPG\r\n", "-\n")
    assert names(f"{tree}/*.webp", "-", f"{tree}/**/*.tiff", stdin=listed, root=tree) == [
        "a.webp", "b/1.png", "b/2.JPG", "b/c/3.tiff",
    ]  # fmt: skip
    assert names(f"{tree}/b*", root=tree)[:2] == ["b/1.png", "b/2.JPG"], "a folder that a pattern matches is a folder"


def test_members_of_a_shard_are_read_without_extracting(tree: Path) -> None:
    before = sorted(tree.rglob("*"))
    found = list(named_images([str(tree / "b" / "s.tar")]))
    assert [p.content for p in found] == [b"0", b"1"]
    assert sorted(tree.rglob("*")) == before


def test_what_is_not_there_comes_with_its_reason(tree: Path) -> None:
    for argument in ("none.jpg", "none/*.jpg"):
        (found,) = named_images([str(tree / argument)])
        assert isinstance(found.content, ImageError)
        assert "no such file" in str(found.content)


def test_a_file_that_has_a_pattern_in_its_name_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].jpg").write_bytes(b"x")
    (found,) = named_images([str(tmp_path / "a[1].jpg")])
    assert found.content == tmp_path / "a[1].jpg"


def test_a_shard_that_is_cut_off_gives_what_is_whole_and_says_where_it_ends(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", {"0.jpg": b"0" * 2000, "1.jpg": b"1" * 2000})
    path.write_bytes(path.read_bytes()[:3600])
    first, *_, last = named_images([str(path)])
    assert first.content == b"0" * 2000
    assert isinstance(last.content, ImageError)
    assert "broken archive" in str(last.content)
    path.write_bytes(b"no archive")
    (only,) = named_images([str(path)])
    assert "it has no whole member" in str(only.content)


def test_members_that_are_links_or_too_large_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    path = write_tar(tmp_path / "s.tar", {"large.jpg": b"x" * 11, "small.jpg": b"x" * 10})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    large, small, linked = named_images([str(path)])
    assert "11 bytes, more than 10" in str(large.content)
    assert small.content == b"x" * 10
    assert "a link or a device" in str(linked.content)


def test_nothing_is_read_before_it_is_asked_for(tree: Path) -> None:
    def endless():  # type: ignore[no-untyped-def]
        while True:
            yield f"{tree}/a.webp"

    stream = named_images(["-"], endless())
    assert [next(stream).name for _ in range(3)] == [f"{tree}/a.webp"] * 3
