"""What every source of images has in common: its description, its files, and the samples it gives chunk by chunk.

A chunk is the unit of work of the engine: a source and whatever that source needs to find the chunk's images again
(a shard's path, a range of numbers). It pickles, and holds no image.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from ram.io.images import ImageError, read_file
from ram.io.remote import RemotePath
from ram.pipeline.catalog import SPLITS

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as fractions of width and height
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_IMAGE_BYTES = 64 << 20  # a longer file is refused unread
MAX_TEXT_BYTES = 4 << 20  # the same for an image's captions

_VARIABLE = re.compile(
    r"\$(?:\{(\w+)\}|(\w+))"
)  # braces are for `dvc exp run -S` to take for its own: recipes have none
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A name that is in the image, and where; `box` is None for the image as a whole."""

    name: str
    box: Box | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One image, as it lies in its source, with what is said about it."""

    key: str  # unique within its source
    image: bytes
    split: str
    captions: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Something of a source that is no sample, and why: a row of the quarantine."""

    key: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """What a labeled source was labeled for: every one of `names` on every one of its images."""

    name: str
    names: tuple[str, ...]
    unseen: tuple[str, ...] = ()  # names that must not be trained on
    description: str = ""


class Source(Protocol):
    """A source of samples; one dataclass a kind, built from its entry in params.yaml."""

    name: str
    captions: str

    def files(self) -> list[str]:
        """The files it reads, sorted, environment variables unexpanded."""

    def provenance(self) -> dict[str, Any]:
        """What else its samples depend on, for the listing: a generator's version."""

    def chunks(self, files: Sequence[str]) -> list[Any]:
        """Descriptions of its chunks, in an order that is the same everywhere; `files` are the listed ones."""

    def read(self, chunk: Any) -> Iterator[Sample | Refusal]:
        """The samples of one chunk, in order; what cannot be read comes as a `Refusal`."""

    def benchmark(self) -> Benchmark | None:
        """What its images are labeled for, or None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSource:
    """The parameters that all sources of files share."""

    name: str
    path: str  # a file or a pattern, here or on a store (s3://bucket/…); $VARIABLE is taken from the environment
    split: str = "train"
    dev_share: float = 0.0  # this share of the images, chosen by a hash of their keys, goes to split dev
    captions: Literal["required", "optional", "off"] = (
        "required"  # required: an image of split train without is refused
    )

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.split not in SPLITS:
            raise ValueError(f"split of source {self.name} must be one of {', '.join(SPLITS)}, got {self.split!r}")
        if not 0 <= self.dev_share < 1:
            raise ValueError(f"dev_share of source {self.name} must be in [0, 1), got {self.dev_share}")

    def files(self) -> list[str]:
        """The files that `path` matches, sorted; `ValueError` where there is none."""
        return find_files(self.path)

    def provenance(self) -> dict[str, Any]:
        """Nothing: what files hold is known by their hashes."""
        return {}

    def benchmark(self) -> Benchmark | None:
        """None: a source that has labels says which."""
        return None

    def split_of(self, key: str) -> str:
        """The split of an image: the same for the same key, whatever else the source holds."""
        return "dev" if unit_hash(f"{self.name}/{key}") < self.dev_share else self.split


def check_name(name: str) -> None:
    """`ValueError` for a source name that would not do as the first part of an image_id."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError(f"a source name is made of lower-case letters, digits and _, got {name!r}")


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on nothing but `text`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def expand(path: str) -> Path | RemotePath:
    """`path` with its $VARIABLEs replaced; a `ValueError` names one that is not set. With `://` in it, it is remote."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise ValueError(
                f"{path!r} needs the environment variable {name}, which is not set: export {name}=<folder>"
            )
        return os.environ[name]

    expanded = _VARIABLE.sub(value, path)
    return RemotePath(expanded) if "://" in expanded else Path(expanded)


def find_files(pattern: str) -> list[str]:
    """The files that `pattern` matches, sorted, with the same $VARIABLEs: a listing made here holds elsewhere.

    Raises `ValueError` where there is none.
    """
    # Not PurePosixPath: it would make one slash of the two of s3://.
    parts = pattern.split("/")
    num_fixed = next((i for i, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    if num_fixed == len(parts):
        found = [pattern] if expand(pattern).is_file() else []
    else:
        root = "/".join(parts[:num_fixed])
        prefix = f"{root}/" if num_fixed else ""
        rest = "/".join(parts[num_fixed:])
        found = [prefix + name for name in files_under(expand(root or ("/" if prefix else ".")), rest)]
    if not found:
        raise ValueError(f"no file matches {pattern!r} (looked for {expand(pattern)}); mend the path of its source")
    return found


def files_under(folder: Path | RemotePath, pattern: str) -> list[str]:
    """The files in `folder` that `pattern` matches, sorted, relative to it."""
    if isinstance(folder, RemotePath):
        return folder.glob(pattern)
    return sorted(p.relative_to(folder).as_posix() for p in folder.glob(pattern) if p.is_file())


def read_inside(root: Path | RemotePath, relative: str) -> bytes | str:
    """The bytes of a file under `root`; or, where it must not or cannot be read, the reason in words.

    A path that leads out of `root`, by `..`, as an absolute path or by a link, is never opened.
    """
    if isinstance(root, RemotePath):
        return _read_inside_remote(root, relative)
    base = root.resolve()
    try:
        path = (base / relative).resolve()
        if not path.is_relative_to(base):
            return f"{relative!r} leads out of its folder"
        if not path.is_file():
            return f"no file {relative!r}"
        return read_file(path, MAX_IMAGE_BYTES)
    except ImageError as error:
        return f"{relative!r}: {error}"
    except (OSError, ValueError, RuntimeError) as error:  # names too long or of no letters, links in a ring
        return f"{relative[:200]!r} cannot be opened: {type(error).__name__}: {error}"[:500]


def _read_inside_remote(root: RemotePath, relative: str) -> bytes | str:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "://" in relative:
        return f"{relative!r} leads out of its folder"
    try:
        content = (root / relative).read_range(0, MAX_IMAGE_BYTES + 1)
    except FileNotFoundError:
        return f"no file {relative!r}"
    return content if len(content) <= MAX_IMAGE_BYTES else f"{relative!r} has more than {MAX_IMAGE_BYTES} bytes"
