"""Tar shards as img2dataset writes them: `key.jpg` beside `key.json` or `key.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.datasets.source import (
    IMAGE_SUFFIXES,
    MAX_IMAGE_BYTES,
    MAX_TEXT_BYTES,
    FileSource,
    Refusal,
    Sample,
    expand,
)
from ram.io.documents import parse_json
from ram.io.remote import RemotePath
from ram.io.tars import Member, TarError, each_member

TEXT_SUFFIXES = (".json", ".txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class WebDataset(FileSource):
    """Captions come from the JSON's `captions` (list) or `caption` (text or list), else from the .txt, one a line.

    Members are read one after the other and never extracted; a chunk is a shard.
    """

    def chunks(self, files: Sequence[str]) -> list[Path | RemotePath]:
        return [expand(file) for file in files]

    def read(self, chunk: Path | RemotePath) -> Iterator[Sample | Refusal]:
        key = ""
        parts: dict[str, bytes | str | None] = {}
        try:
            with chunk.open("rb") as stream:
                for member in each_member(stream):
                    member_key, suffix = split_key(member.name)
                    # The same member again begins the key anew: it is a duplicate, and shall be seen to be one.
                    if member_key != key or suffix in parts:
                        yield from self._sample(key, parts)
                        key, parts = member_key, {}
                    parts[suffix] = _content(member, suffix)
        except (TarError, OSError) as error:
            yield Refusal(key=chunk.name, reason="broken_archive", detail=str(error))
        yield from self._sample(key, parts)

    def _sample(self, key: str, parts: dict[str, bytes | str | None]) -> Iterator[Sample | Refusal]:
        """The sample that the members of one key make. A part is its bytes, or the reason in words why it has none."""
        if not parts:
            return
        images = [suffix for suffix in IMAGE_SUFFIXES if suffix in parts]
        for other in images[1:]:
            detail = f"{other} is left out: the image of this key is {images[0]}"
            yield Refusal(key=key, reason="second_image", detail=detail)
        image = parts[images[0]] if images else "no image under this key"
        if not isinstance(image, bytes):
            yield Refusal(key=key, reason="unreadable", detail=str(image))
            return
        try:
            captions = () if self.captions == "off" else _captions(parts)
        except ValueError as error:
            yield Refusal(key=key, reason="bad_captions", detail=str(error))
            return
        yield Sample(key=key, image=image, split=self.split_of(key), captions=captions)


def split_key(name: str) -> tuple[str, str]:
    """A member's key and suffix, as WebDataset cuts them: at the first dot of the file name."""
    folder, _, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return f"{folder}/{stem}" if folder else stem, (dot + suffix).lower()


def _content(member: Member, suffix: str) -> bytes | str | None:
    if suffix not in IMAGE_SUFFIXES + TEXT_SUFFIXES:
        return None
    try:
        return member.read(MAX_TEXT_BYTES if suffix in TEXT_SUFFIXES else MAX_IMAGE_BYTES)
    except ValueError as error:
        return str(error)


def _captions(parts: dict[str, bytes | str | None]) -> tuple[str, ...]:
    """Raises `ValueError` for captions that are no text."""
    if ".json" in parts:
        document = _parse_json(_text(parts[".json"]))
        found: Any = document.get("captions", document.get("caption"))
        if found is not None:
            found = [found] if isinstance(found, str) else found
            if not isinstance(found, list) or not all(isinstance(c, str) for c in found):
                raise ValueError(f"captions must be a text or a list of texts, got {str(found)[:80]!r}")
            return tuple(found)
    return tuple(_text(parts[".txt"]).splitlines()) if ".txt" in parts else ()


def _text(part: bytes | str | None) -> str:
    if not isinstance(part, bytes):
        raise ValueError(str(part))
    return part.decode("utf-8")  # UnicodeDecodeError is a ValueError


def _parse_json(text: str) -> dict[str, Any]:
    document = parse_json(text, "the JSON")
    if not isinstance(document, dict):
        raise ValueError(f"the JSON must be an object, got {text[:40]!r}")
    return document
