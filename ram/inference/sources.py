"""What a user names on the command line -> pictures with names, one after the other: nothing is listed or read ahead."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from ram.datasets.folder import walk
from ram.inference.image_inputs import NamedPicture
from ram.io.images import MAX_BYTES, SUFFIXES, PictureError
from ram.io.tars import Member, TarError, each_member

SHARD_SUFFIX = ".tar"
STDIN = "-"
_WANTED = (*SUFFIXES, SHARD_SUFFIX)
_PATTERN = set("*?[")


def named_pictures(arguments: Iterable[str], stdin: Iterable[str] = ()) -> Iterator[NamedPicture]:
    """The pictures of files, folders, patterns (`**` too), tar shards, and of `-`: the lines of `stdin`.

    Of folders and patterns in the order of their names. What does not exist comes too, as a picture with its reason.
    """
    for argument in arguments:
        if argument == STDIN:
            listed = (line.rstrip("\r\n") for line in stdin)
            yield from named_pictures(line for line in listed if line and line != STDIN)
        else:
            for path in paths_of(argument):
                yield from of_shard(path) if path.suffix == SHARD_SUFFIX and path.is_file() else [_of_file(path)]


def paths_of(argument: str) -> Iterator[Path]:
    """The files that one argument means: itself, the pictures and shards of a folder, or what a pattern matches."""
    path = Path(argument)
    if path.is_dir():
        yield from walk(path, _WANTED)
    elif _PATTERN & set(argument) and not path.exists():
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (Path.glob refuses absolute patterns)
        for match in map(Path, matches):
            yield from walk(match, _WANTED) if match.is_dir() and "**" not in argument else [match]
        if not matches:
            yield path
    else:
        yield path


def _of_file(path: Path) -> NamedPicture:
    if path.is_dir():
        return NamedPicture(str(path), PictureError("a folder, no picture"))
    if not path.exists():
        return NamedPicture(str(path), PictureError("there is no such file"))
    return NamedPicture(str(path), path)


def of_shard(path: Path) -> Iterator[NamedPicture]:
    """The pictures of a tar, by the names of its members, read in one pass and never extracted."""
    try:
        with path.open("rb") as stream:
            for member in each_member(stream):
                if member.name.lower().endswith(SUFFIXES):
                    yield NamedPicture(f"{path}/{member.name}", _content(member))
    except (TarError, OSError) as error:
        yield NamedPicture(str(path), PictureError(str(error)))


def _content(member: Member) -> bytes | PictureError:
    try:
        return member.read(MAX_BYTES)
    except ValueError as error:
        return PictureError(str(error))
