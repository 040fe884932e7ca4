"""Tars of strangers: what is good in them is read, the rest is on record, nothing is written and nothing hangs."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_tars as hostile
import pytest

from ram.datasets import Refusal, Sample, make_source
from ram.datasets.image_info import ImageLimits
from ram.datasets.staging import Spool, SpoolItem, SpoolWriter
from ram.evaluation.images import find_images
from ram.inference.sources import of_shard
from ram.io.images import ImageError
from ram.io.tars import TarError, each_member

Within = Callable[[float], Any]
LIMITS = ImageLimits(min_side=1, max_pixels=1_000_000, max_aspect=100)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write_tar(content: bytes) -> Path:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "x.tar").write_bytes(content)
        return tmp_path / "in" / "x.tar"

    return write_tar


def ingested(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the ingestion accepts of a shard, and what it puts in quarantine, as the tables have them."""
    source = make_source({"name": "web", "kind": "webdataset", "path": str(path)})
    spool = Spool(path.parent.parent / "spool")
    spool.directory.mkdir(exist_ok=True)
    (chunk,) = source.chunks(source.files())
    SpoolWriter(spool, LIMITS)(SpoolItem(0, source, chunk))
    return spool.records(0).to_pylist(), spool.refused(0).to_pylist()


def samples(path: Path) -> list[Sample | Refusal]:
    source = make_source({"name": "web", "kind": "webdataset", "path": str(path)})
    return [item for chunk in source.chunks(source.files()) for item in source.read(chunk)]


def everything_under(path: Path) -> set[Path]:
    return {p for p in path.rglob("*") if "spool" not in p.parts}


@pytest.mark.parametrize("name", hostile.NAMES)
def test_a_name_that_leads_elsewhere_leads_nowhere(
    write: Callable[[bytes], Path], name: bytes, within: Within, tmp_path: Path
) -> None:
    path = write(
        hostile.GOOD + hostile.member(name) + hostile.member(name[:-3] + b"json", hostile.CAPTION) + hostile.END
    )
    before = everything_under(tmp_path)
    with within(20):
        accepted, refused = ingested(path)
        tagged = list(of_shard(path))
    assert len(accepted) + len(refused) == 2
    assert accepted[0]["key"] == "good"
    assert len(tagged) == 2
    assert all(isinstance(image.content, bytes) for image in tagged)
    assert everything_under(tmp_path) == before


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_an_entry_that_is_no_file_is_refused_and_not_followed(write: Callable[[bytes], Path], kind: str) -> None:
    entry = hostile.header(b"a.jpg", 0, hostile.KINDS[kind], linked=b"/etc/hostname")
    path = write(
        hostile.GOOD + entry + hostile.member(b"a.json", hostile.CAPTION) + hostile.pair(b"last") + hostile.END
    )
    accepted, refused = ingested(path)
    assert [row["key"] for row in accepted] == ["good", "last"]
    assert [(row["key"], row["reason"]) for row in refused] in ([("a", "unreadable")], [("a", "empty")])
    assert [isinstance(p.content, bytes) and len(p.content) > 0 for p in of_shard(path)] == [True, False, True]
    finder = find_images(str(path))
    finder.open("good.jpg")
    assert "good.jpg" not in finder.broken
    assert finder.find("a.jpg") == [] or (finder.open("a.jpg") and "a.jpg" in finder.broken)


@pytest.mark.parametrize("what", hostile.BROKEN)
def test_a_broken_archive_gives_what_was_whole_and_says_where_it_ends(
    write: Callable[[bytes], Path], what: str, within: Within
) -> None:
    path = write(hostile.GOOD + hostile.BROKEN[what])
    with within(20):
        accepted, refused = ingested(path)
        tagged = list(of_shard(path))
        with pytest.raises(ValueError, match=r"x\.tar: a broken archive, it ends after '(good\.json|a\.jpg)'"):
            find_images(str(path))
    assert [row["key"] for row in accepted] == ["good"]
    assert refused[0]["reason"] == "broken_archive"
    assert refused[0]["key"] == "x.tar"
    assert len(refused[0]["detail"]) < 700
    assert {row["reason"] for row in refused[1:]} <= {"unreadable"}
    assert isinstance(tagged[0].content, bytes)
    assert isinstance(tagged[-1].content, ImageError)
    assert "broken archive" in str(tagged[-1].content)


@pytest.mark.parametrize("what", hostile.ARCHIVES)
def test_what_is_no_plain_tar_is_refused_as_a_whole(write: Callable[[bytes], Path], what: str) -> None:
    path = write(hostile.ARCHIVES[what])
    (refused,) = samples(path)
    assert isinstance(refused, Refusal)
    assert (refused.key, refused.reason) == ("x.tar", "broken_archive")
    (tagged,) = of_shard(path)
    assert isinstance(tagged.content, ImageError)
    with pytest.raises(ValueError, match="no whole member"):
        find_images(str(path))
    if what in ("gzip", "bzip2", "xz", "zip"):
        assert f"is {what}: unpack it" in refused.detail


def test_a_tar_that_is_cut_off_anywhere_loses_nothing_silently(write: Callable[[bytes], Path]) -> None:
    whole = hostile.pair(b"a") + hostile.pair(b"b") + hostile.END
    for cut in range(0, len(whole) - 512, 128):
        found = samples(write(whole[:cut]))
        assert any(isinstance(item, Refusal) and item.reason == "broken_archive" for item in found), cut
    assert [item.key for item in samples(write(whole)) if isinstance(item, Sample)] == ["a", "b"]


def test_members_that_are_too_long_are_refused_unread(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    path = write(b"")
    with path.open("wb") as stream:  # a file with holes: 200 MB that take no place
        for name, size in ((b"a.jpg", (64 << 20) + 1), (b"b.json", (4 << 20) + 1), (b"c.jpg", 100 << 20)):
            stream.write(hostile.header(name, size))
            stream.seek(size + -size % 512, 1)
        stream.write(hostile.GOOD + hostile.END)
    tracemalloc.start()
    accepted, refused = ingested(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["key"] for row in accepted] == ["good"]
    assert {row["key"]: row["reason"] for row in refused} == dict.fromkeys("abc", "unreadable")
    assert "67108865 bytes, more than 67108864" in refused[0]["detail"]
    assert peak < 16 << 20


def test_a_member_that_comes_again_and_a_second_image_are_on_record(write: Callable[[bytes], Path]) -> None:
    again = hostile.pair(b"a") + hostile.pair(b"a") + hostile.member(b"b.jpg") + hostile.member(b"b.jpg")
    two = hostile.member(b"c.jpg") + hostile.member(b"c.png") + hostile.member(b"c.json", hostile.CAPTION)
    found = samples(write(again + two + hostile.END))
    assert [(item.key, getattr(item, "reason", "read")) for item in found] == [
        ("a", "read"), ("a", "read"), ("b", "read"), ("b", "read"), ("c", "second_image"), ("c", "read"),
    ]  # fmt: skip


class _Endless(io.RawIOBase):
    """`num` empty members, made as they are read."""

    def __init__(self, num: int) -> None:
        self._num, self._position = num, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset if whence == 0 else self._position + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        block, within_block = divmod(self._position, 512)
        data = hostile.header(b"%09d.json" % block) if block < self._num else b"\0" * 512
        data = data[within_block : within_block + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def test_the_memory_that_a_tar_takes_does_not_grow_with_its_members() -> None:
    def peak(num: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in each_member(_Endless(num))) == num  # type: ignore[arg-type]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)  # what is imported and cached once
    assert peak(6000) < peak(600) + 64 * 1024


def test_bytes_of_a_name_that_are_no_text_are_written_as_escapes() -> None:
    surrogate = hostile.pax((b"path", b"\xed\xa0\x80.jpg")) + hostile.member(b"x")
    stream = io.BytesIO(hostile.member(b"\xff.jpg") + surrogate + hostile.END)
    assert [member.name for member in each_member(stream)] == ["\\xff.jpg", "\\xed\\xa0\\x80.jpg"]
    with pytest.raises(TarError, match="no whole member"):
        list(each_member(io.BytesIO(b"")))
