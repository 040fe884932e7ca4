from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ram.datasets import Refusal, Sample, make_source

WriteTar = Callable[[Path, dict[str, bytes]], Path]


def read(path: Path, **parameters: Any) -> list[Sample | Refusal]:
    source = make_source({"name": "web", "kind": "webdataset", "path": str(path), **parameters})
    return [item for chunk in source.chunks(source.files()) for item in source.read(chunk)]


def captions_of(write_tar: WriteTar, path: Path, document: Any, **parameters: Any) -> Any:
    (item,) = read(write_tar(path / "x.tar", {"a.jpg": b"p", "a.json": json.dumps(document).encode()}), **parameters)
    return item.captions if isinstance(item, Sample) else item.reason


def test_captions_are_read_in_all_the_ways_they_are_written(tmp_path: Path, write_tar: WriteTar) -> None:
    assert captions_of(write_tar, tmp_path, {"captions": ["one", "two"], "split": "test"}) == ("one", "two")
    assert captions_of(write_tar, tmp_path, {"caption": "one"}) == ("one",)
    assert captions_of(write_tar, tmp_path, {"caption": ["one", "two"]}) == ("one", "two")
    assert captions_of(write_tar, tmp_path, {"width": 3}) == ()
    assert captions_of(write_tar, tmp_path, {"caption": "one"}, captions="off") == ()


def test_captions_that_are_no_text_are_refused(tmp_path: Path, write_tar: WriteTar) -> None:
    for document in ({"captions": 3}, {"captions": [1]}, [1, 2]):
        assert captions_of(write_tar, tmp_path, document) == "bad_captions"


def test_text_files_hold_a_caption_a_line_and_json_comes_first(tmp_path: Path, write_tar: WriteTar) -> None:
    members = {"a.txt": b"one\ntwo", "a.png": b"p", "b.jpg": b"q", "b.txt": b"text", "b.json": b'{"caption": "json"}'}
    first, second = read(write_tar(tmp_path / "x.tar", members))
    assert isinstance(first, Sample)
    assert first.captions == ("one", "two")
    assert first.image == b"p"
    assert isinstance(second, Sample)
    assert second.captions == ("json",)


def test_every_key_comes_out_as_a_sample_or_a_refusal(tmp_path: Path, write_tar: WriteTar) -> None:
    members = {
        "a.jpg": b"p", "a.json": b"{}", "b.json": b"{}", "c.jpg": b"p", "c.json": b"not json", "d.jpg": b"p",
        "d.json": b"[" * 100_000, "e.jpg": b"p", "e.txt": b"\xff\xfe", "../../f.jpg": b"p", "sub/g.h.jpg": b"p",
    }  # fmt: skip
    items = read(write_tar(tmp_path / "x.tar", members))
    found = {item.key: getattr(item, "reason", "accepted") for item in items}
    assert found == {
        "a": "accepted", "b": "unreadable", "c": "bad_captions", "d": "bad_captions", "e": "bad_captions",
        "../../f": "accepted", "sub/g": "unreadable",
    }  # fmt: skip
    assert [p.name for p in tmp_path.rglob("*")] == ["x.tar"], "nothing is extracted"


def test_a_link_in_a_shard_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("a.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(info)
    (item,) = read(path)
    assert isinstance(item, Refusal)
    assert "link" in item.detail


def test_a_shard_that_is_cut_off_gives_what_is_whole(tmp_path: Path, write_tar: WriteTar) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.jpg": b"p" * 3000, "b.jpg": b"q" * 3000, "c.jpg": b"r" * 3000})
    path.write_bytes(path.read_bytes()[:6000])
    found = {item.key: getattr(item, "reason", "accepted") for item in read(path)}
    assert found == {"a": "accepted", "b": "unreadable", "x.tar": "broken_archive"}


def test_what_is_no_tar_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"no tar at all" * 100)
    assert [item.reason for item in read(path) if isinstance(item, Refusal)] == ["broken_archive"]
