"""What a user names on the command line -> images with names, one after the other: nothing is listed or read ahead."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from ram.datasets.folder import walk
from ram.inference.image_inputs import NamedImage
from ram.io.images import MAX_BYTES, SUFFIXES, ImageError
from ram.io.tars import Member, TarError, each_member

SHARD_SUFFIX = ".tar"
STDIN = "-"
_WANTED = (*SUFFIXES, SHARD_SUFFIX)
_PATTERN = set("*?[")


def named_images(arguments: Iterable[str], stdin: Iterable[str] = ()) -> Iterator[NamedImage]:
    """The images of files, folders, patterns (`**` too), tar shards, and of `-`: the lines of `stdin`.

    Of folders and patterns in the order of their names. What does not exist comes too, as an image with its reason.
    """
    for argument in arguments:
        if argument == STDIN:
            listed = (line.rstrip("\r\n") for line in stdin)
            yield from named_images(line for line in listed if line and line != STDIN)
        else:
            for path in paths_of(argument):
                yield from of_shard(path) if path.suffix == SHARD_SUFFIX and path.is_file() else [_of_file(path)]


def paths_of(argument: str) -> Iterator[Path]:
    """The files that one argument means: itself, the images and shards of a folder, or what a pattern matches."""
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


def _of_file(path: Path) -> NamedImage:
    if path.is_dir():
        return NamedImage(str(path), ImageError("a folder, no image"))
    if not path.exists():
        return NamedImage(str(path), ImageError("there is no such file"))
    return NamedImage(str(path), path)


def of_shard(path: Path) -> Iterator[NamedImage]:
    """The images of a tar, by the names of its members, read in one pass and never extracted."""
    try:
        with path.open("rb") as stream:
            for member in each_member(stream):
                if member.name.lower().endswith(SUFFIXES):
                    yield NamedImage(f"{path}/{member.name}", _content(member))
    except (TarError, OSError) as error:
        yield NamedImage(str(path), ImageError(str(error)))


def _content(member: Member) -> bytes | ImageError:
    try:
        return member.read(MAX_BYTES)
    except ValueError as error:
        return ImageError(str(error))
