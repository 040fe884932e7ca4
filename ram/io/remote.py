"""Files of sources on any store that fsspec reaches (s3://, gs://, …), with as much of `pathlib.Path` as sources use.

Reads are ranges, each tried again where the connection breaks; what no trial can mend is a `ValueError` with its remedy.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar

from ram.io.redact import redacted

R = TypeVar("R")

BLOCK_BYTES = 8 << 20  # of one request; tars are read from one end to the other
NUM_TRIALS = 5
FIRST_PAUSE_S = 0.5  # before the second trial; each further one is twice as long
# Packages that speak to stores raise errors of their own for broken connections.
_CLIENTS = ("aiohttp", "botocore", "aiobotocore", "gcsfs", "google", "azure", "urllib3", "requests")
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound")
# What identifies a version of a file, by the store's name for it.
_VERSION_FIELDS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "LastModified", "mtime", "last_modified")


class StoreError(RuntimeError):
    """A store that answers, if at all, with errors. Not an `OSError`: to those a broken file is a reason to go on."""


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A file or a folder by its address. Picklable: each process makes its own connection."""

    url: str

    def __str__(self) -> str:
        return redacted(self.url)  # it stands in messages and logs

    def __truediv__(self, relative: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{relative}")

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        return RemotePath(self.url.rstrip("/").rpartition("/")[0])

    def is_file(self) -> bool:
        return self._info().get("type") == "file"

    def is_dir(self) -> bool:
        return self._info().get("type") == "directory"

    def num_bytes(self) -> int:
        return int(self._known()["size"])

    def version_hash(self) -> str:
        """A hash of the size and of what the store says of the content: a checksum where it has one, else the time."""
        info = self._known()
        version = next(([field, str(info[field])] for field in _VERSION_FIELDS if info.get(field)), [])
        return hashlib.sha256(json.dumps([info["size"], *version]).encode()).hexdigest()

    def glob(self, pattern: str) -> list[str]:
        """The files under this folder that `pattern` matches, sorted, relative to it."""
        root = self._filesystem()._strip_protocol(self.url).rstrip("/")
        found = self._try(lambda fs: fs.glob(f"{root}/{pattern}", detail=True))
        if not found:
            self._info()  # a search in a bucket that is not there finds nothing; asking for it tells why
        return sorted(name.removeprefix(f"{root}/") for name, info in found.items() if info["type"] == "file")

    def read_range(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, or to the end of the file. `FileNotFoundError` where there is no file."""
        return bytes(self._try(lambda fs: fs.cat_file(self.url, start=start, end=end)))

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file as a stream of bytes that can be sought in."""
        assert mode == "rb", mode
        return io.BufferedReader(_Ranges(self, self.num_bytes()), BLOCK_BYTES)

    def read_text(self, encoding: str = "utf-8") -> str:
        with self.open() as stream:
            return stream.read().decode(encoding)

    def _known(self) -> dict[str, Any]:
        info = self._info()
        if info.get("type") != "file":
            raise ValueError(f"no file at {self}; mend the path of its source")
        return info

    def _info(self) -> dict[str, Any]:
        """What the store says of it; empty where there is nothing."""
        try:
            return dict(self._try(lambda fs: fs.info(self.url)))
        except FileNotFoundError:
            return {}

    def _filesystem(self) -> Any:
        fsspec = importlib.import_module("fsspec")
        protocol = self.url.partition("://")[0]
        try:
            # Listings are not kept: a file that changed must be seen.
            return fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=False)
        except ImportError as error:
            package = {"s3": "'ram-tagger[s3]'", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
            raise ValueError(
                f"{self} needs a package that is not installed: pip install {package.get(protocol, 'it')} ({error})"
            ) from error
        except ValueError as error:
            raise ValueError(f"{self}: {protocol}:// is no store that fsspec knows ({error})") from error

    def _try(self, call: Callable[[Any], R]) -> R:
        """`call(filesystem)`; again after a while where the connection, not the request, was at fault."""
        pause_s = FIRST_PAUSE_S
        filesystem = self._filesystem()
        for trial in range(1, NUM_TRIALS + 1):
            try:
                return call(filesystem)
            except Exception as error:
                self._raise_if_lasting(error)
                if trial == NUM_TRIALS:
                    raise StoreError(f"{self} could not be read, tried {trial} times: {error!r}") from error
                print(f"{self}: {error!r}; trying again in {pause_s:g} s", file=sys.stderr, flush=True)
                time.sleep(pause_s)
                pause_s *= 2
        raise AssertionError("unreachable")

    def _raise_if_lasting(self, error: Exception) -> None:
        """Raise what another trial would not mend."""
        if type(error).__name__ in _NO_CREDENTIALS:
            raise ValueError(
                f"no credentials to read {self} ({error}); set those of its store (for S3: AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine)"
            ) from error
        if isinstance(error, PermissionError):
            raise ValueError(f"{self} may not be read with these credentials: {error}") from error
        if isinstance(error, FileNotFoundError):
            if "bucket does not exist" in str(error):
                raise ValueError(f"{self}: {error}; mend the bucket's name in the path of its source") from error
            raise error
        module = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError | EOFError | TimeoutError) and module not in _CLIENTS:
            raise error


class _Ranges(io.RawIOBase):
    """The bytes of a remote file, asked for as they are read."""

    def __init__(self, path: RemotePath, num_bytes: int) -> None:
        self._path, self._num_bytes, self._position = path, num_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._num_bytes)
        if end <= self._position:
            return 0
        content = self._path._try(lambda fs: _whole_range(fs, self._path.url, self._position, end))
        buffer[: len(content)] = content
        self._position = end
        return len(content)


def _whole_range(filesystem: Any, url: str, start: int, end: int) -> bytes:
    content = bytes(filesystem.cat_file(url, start=start, end=end))
    if len(content) != end - start:
        raise EOFError(f"{len(content)} bytes came instead of {end - start}")
    return content
