"""The members of a plain tar, one after the other, of any number in the same memory; nothing is ever extracted.

What Python's own reader leaves open is closed here: it ends silently where a header is broken or the file is cut
between two members, goes round for ever at a negative size, keeps every member it has seen, and spends time that grows
with the square of an extended header.
"""

from __future__ import annotations

import re
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_HEADER_BYTES = 1 << 20  # of an extended header: a long name
_EXTENDED = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
             tarfile.SOLARIS_XHDTYPE)  # fmt: skip
_LONG_NUMBER = re.compile(rb"\d{256}")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd", b"PK": "zip"}
# What tarfile raises for headers that make no sense; a store's own errors are not among them.
_BROKEN = (tarfile.TarError, EOFError, OSError, ValueError, ArithmeticError, LookupError, struct.error, RecursionError)


class TarError(ValueError):
    """A tar that cannot be read, or not to its end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry that is no folder. `is_file` is False for links, devices and sparse files."""

    name: str  # bytes that are no UTF-8 are written as \xff
    num_bytes: int
    offset: int  # where its content begins in the tar
    is_file: bool
    _tar: tarfile.TarFile
    _info: tarfile.TarInfo

    def read(self, max_bytes: int) -> bytes:
        """The content. `ValueError` says in words why there is none: a link, too many bytes, or a file that ends before."""
        if not self.is_file:
            raise ValueError(f"{self.name!r} is a link or a device, no file")
        if self.num_bytes > max_bytes:
            raise ValueError(f"{self.name!r} has {self.num_bytes} bytes, more than {max_bytes}")
        stream = self._tar.extractfile(self._info)
        assert stream is not None
        try:
            return stream.read()
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"{self.name!r} is cut off") from error


def each_member(stream: BinaryIO) -> Iterator[Member]:
    """The members of the tar that `stream`, which can be sought in, holds; each is to be read before the next.

    Raises `TarError` where the tar is broken, says more than there is, or ends without its end.
    """
    last = ""
    try:
        with tarfile.open(
            fileobj=stream, mode="r:", tarinfo=_StrictInfo, encoding="utf-8", errors="backslashreplace"
        ) as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]
                if not info.isdir():
                    plain = info.isfile() and not info.issparse()
                    # Names of extended headers may still hold what UTF-8 cannot: lone surrogates.
                    name = info.name.encode("utf-8", "backslashreplace").decode()
                    last = name
                    yield Member(name, info.size, info.offset_data, plain, tar, info)
    except _BROKEN as error:
        where = f"it ends after {last[:200]!r}" if last else f"it has no whole member{_compressed(stream)}"
        raise TarError(f"a broken archive, {where}: {type(error).__name__}: {error}"[:600]) from error


class _StrictInfo(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, tarfile_: Any) -> tarfile.TarInfo:  # type: ignore[override]
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:  # with which tarfile ends as if that were the end
            raise tarfile.ReadError(f"{error} at byte {tarfile_.offset}") from error

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError(f"a size of {count} bytes")
        return super()._block(count)  # type: ignore[misc]

    def _proc_member(self, tar: Any) -> tarfile.TarInfo:
        if self.type in _EXTENDED:
            if not 0 <= self.size <= MAX_HEADER_BYTES:
                raise tarfile.ReadError(f"a header of {self.size} bytes, more than {MAX_HEADER_BYTES}")
            content = tar.fileobj.read(self.size)
            if _LONG_NUMBER.search(content):
                raise tarfile.ReadError("a header with a number of more than 255 digits")
            tar.fileobj.seek(-len(content), 1)
        return super()._proc_member(tar)  # type: ignore[misc]


def _compressed(stream: BinaryIO) -> str:
    stream.seek(0)
    kind = _COMPRESSED.get(stream.read(2))
    return f" and is {kind}: unpack it, tars are read plain" if kind else ""
