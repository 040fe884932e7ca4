"""What is wrong with a disk, told with its remedy, whichever library was writing."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ram.io.tables import FULL, MORE_SPACE

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
# of libraries that write files by themselves, and keep the system's number to themselves
_SAID_WHEN_FULL = (
    "No space left", "StorageFull", "File too large", "FileTooLarge", "file write failed", "database or disk is full",
)  # fmt: skip
_SAID_WHEN_CLOSED = ("attempt to write a readonly database",)


@contextmanager
def disk_explained(directory: Path, what: str) -> Iterator[None]:
    """`ValueError` with a remedy where the work fails since the disk of `directory` is full, or may not be written."""
    try:
        yield
    except ValueError:  # says itself what is wrong, whatever it was raised from
        raise
    except Exception as error:
        told = _system_error(error) or error
        number, said = getattr(told, "errno", None), (str(told).splitlines() or [""])[0]  # MLflow adds its whole SQL
        if number in FULL or (number is None and any(words in said for words in _SAID_WHEN_FULL)):
            free = shutil.disk_usage(directory).free
            found = f"{free / 1e9:,.2f} GB ({free} bytes) are free in {directory.resolve()}"
            raise ValueError(f"{what} could not write: {said}; {found}; {MORE_SPACE}") from error
        if number in _CLOSED or (number is None and any(words in said for words in _SAID_WHEN_CLOSED)):
            remedy = "let the user of this process write there; what was there before stands"
            raise ValueError(f"{what} may not write: {said}; {remedy}") from error
        raise


def _system_error(error: BaseException) -> OSError | None:
    """The system's own error that `error` is, or that it was raised over."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return found
