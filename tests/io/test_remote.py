from __future__ import annotations

import io
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.datasets.source import expand, find_files, read_inside
from ram.io import remote
from ram.io.remote import RemotePath, StoreError

CONTENT = random.Random(0).randbytes(1000)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """fsspec's store in memory with some files; no pause between trials."""
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.0)
    memory = fsspec.filesystem("memory")
    memory.pipe({"/b/in/1.tar": CONTENT, "/b/in/2.tar": b"two", "/b/in/deep/3.tar": b"three", "/b/x.csv": b"a,b"})
    yield memory
    memory.rm("/b", recursive=True)


def failing(monkeypatch: pytest.MonkeyPatch, store: Any, errors: list[Exception | bytes]) -> list[int]:
    """Makes the next reads of the store fail with these errors, or give these bytes; counts all reads."""
    calls: list[int] = []
    read = type(store).cat_file

    def cat_file(self: Any, path: str, start: int | None = None, end: int | None = None) -> bytes:
        calls.append(0)
        if errors:
            error = errors.pop(0)
            if isinstance(error, Exception):
                raise error
            return error
        content: bytes = read(self, path, start=start, end=end)
        return content

    monkeypatch.setattr(type(store), "cat_file", cat_file)
    return calls


def test_patterns_find_the_same_names_as_in_a_folder(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in store.find("/b"):
        path = tmp_path / name.removeprefix("/b/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.cat_file(name))
    for pattern in (
        "$ROOT/in/*.tar",
        "$ROOT/*/[1]*.tar",
        "$ROOT/x.csv",
        "$ROOT/**/*.tar",
        "$ROOT/**/*",
        "$ROOT/i?/2.tar",
    ):
        monkeypatch.setenv("ROOT", str(tmp_path))
        here = find_files(pattern)
        monkeypatch.setenv("ROOT", "memory://b")
        assert find_files(pattern) == here, pattern
        assert all(name.startswith("$ROOT/") for name in here)


def test_a_pattern_without_a_match_is_an_error_that_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOT", "memory://b")
    for pattern in ("$ROOT/in/*.zip", "$ROOT/nothing.tar"):
        with pytest.raises(ValueError, match=r"no file matches '\$ROOT/.*looked for memory://b/"):
            find_files(pattern)


def test_names_of_a_remote_path_are_those_of_a_path() -> None:
    path = expand("memory://b/in/1.tar")
    assert isinstance(path, RemotePath)
    assert (path.name, path.suffix, str(path.parent), str(path.parent / "2.tar")) == (
        "1.tar", ".tar", "memory://b/in", "memory://b/in/2.tar"
    )  # fmt: skip
    assert path.is_file()
    assert not path.is_dir()
    assert path.parent.is_dir()
    assert pickle.loads(pickle.dumps(path)) == path


@given(
    st.lists(st.tuples(st.sampled_from(["read", "seek", "end"]), st.integers(0, 1200)), max_size=12),
    st.integers(1, 300),
)
def test_a_remote_stream_reads_and_seeks_as_one_in_memory(steps: list[tuple[str, int]], block: int) -> None:
    stream = io.BufferedReader(remote._Ranges(RemotePath("memory://b/in/1.tar"), len(CONTENT)), block)
    expected = io.BytesIO(CONTENT)
    for what, number in steps:
        if what == "read":
            assert stream.read(number) == expected.read(number)
        elif what == "seek":
            assert stream.seek(number) == expected.seek(number)
        else:
            assert stream.seek(-min(number, 1000), io.SEEK_END) == expected.seek(-min(number, 1000), io.SEEK_END)
    assert stream.read() == expected.read()


def test_a_read_that_breaks_or_comes_short_is_tried_again(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing(monkeypatch, store, [ConnectionResetError("reset"), b"short", TimeoutError("slow")])
    with RemotePath("memory://b/in/1.tar").open() as stream:
        assert stream.read() == CONTENT
    assert len(calls) == 4


def test_a_store_that_goes_on_failing_is_an_error_that_no_reader_takes_for_a_broken_file(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = failing(monkeypatch, store, [ConnectionResetError("reset")] * 50)
    with pytest.raises(StoreError, match=r"memory://b/in/1\.tar could not be read, tried 5 times") as caught:
        RemotePath("memory://b/in/1.tar").open().read()
    assert not isinstance(caught.value, OSError)
    assert len(calls) == remote.NUM_TRIALS


class NoCredentialsError(Exception):
    """Of the name that botocore gives its own."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("Access Denied"), "may not be read with these credentials: Access Denied"),
        (NoCredentialsError("Unable to locate credentials"), "no credentials to read memory.*AWS_ACCESS_KEY_ID"),
        (FileNotFoundError("The specified bucket does not exist"), "mend the bucket's name"),
    ],
)
def test_what_no_trial_would_mend_is_told_at_once(
    error: Exception, message: str, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = failing(monkeypatch, store, [error] * 50)
    with pytest.raises(ValueError, match=message):
        RemotePath("memory://b/in/1.tar").open().read()
    assert len(calls) == 1


def test_our_own_mistakes_are_not_tried_again(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing(monkeypatch, store, [KeyError("a slip")] * 50)
    with pytest.raises(KeyError):
        RemotePath("memory://b/in/1.tar").open().read()
    assert len(calls) == 1


def test_a_store_that_fsspec_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="nowhere:// is no store that fsspec knows"):
        RemotePath("nowhere://b/x").is_file()


def test_the_hash_of_a_version_follows_the_size_and_what_the_store_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_of(**info: Any) -> str:
        monkeypatch.setattr(RemotePath, "_info", lambda self: {"type": "file", "size": 3} | info)
        return RemotePath("memory://b/x").version_hash()

    assert hash_of(ETag="a", LastModified=1) == hash_of(ETag="a", LastModified=2), "the checksum tells, not the time"
    assert (
        len({hash_of(ETag="a"), hash_of(ETag="b"), hash_of(ETag="a", size=4), hash_of(mtime=1), hash_of(mtime=2)}) == 5
    )


def test_images_are_read_inside_their_folder_only() -> None:
    root = RemotePath("memory://b/in")
    assert read_inside(root, "2.tar") == b"two"
    assert read_inside(root, "deep/3.tar") == b"three"
    assert read_inside(root, "4.tar") == "no file '4.tar'"
    for path in ("../x.csv", "/b/x.csv", "memory://b/x.csv"):
        assert "leads out" in str(read_inside(root, path))
