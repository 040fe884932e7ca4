"""What a person calls an image or a tag -> which one that is; what is not found names the nearest."""

from __future__ import annotations

import difflib
from pathlib import PurePosixPath
from typing import Any

from ram.io.tables import Table
from ram.labels import LabelSystem, Tag

_COLUMNS = ("image_id", "source", "split", "shard", "member", "width", "height", "sha256")
_NUM_NEAREST = 5
_NUM_COMPARED = 200_000  # names that are compared for likeness, which is slow


def find_tag(label_system: LabelSystem, text: str) -> Tag:
    """The tag with this name, synonym or id; `ValueError` that names the nearest."""
    tag = label_system.find(text)
    if tag is not None:
        return tag
    if text.isdecimal() and int(text) < len(label_system):
        return label_system[int(text)]
    known = {word: tag.name for tag in label_system for word in (*tag.synonyms, tag.name)}
    near = dict.fromkeys(known[word] for word in difflib.get_close_matches(text.lower(), known, _NUM_NEAREST, 0.5))
    raise ValueError(f"no tag {text!r} among the {len(label_system)}; {_suggestion(list(near))}")


def find_image(images: Table, text: str) -> dict[str, Any]:
    """The row of the image with this image_id, or else the only one whose member or file is called so.

    `ValueError` where there is none, naming the nearest, and where there are several, naming some.
    """
    called: list[dict[str, Any]] = []
    for batch in images.batches(_COLUMNS):
        ids, members = batch["image_id"].to_pylist(), batch["member"].to_pylist()
        for i, (image_id, member) in enumerate(zip(ids, members, strict=True)):
            if image_id == text:
                return {column: batch[column][i].as_py() for column in _COLUMNS}
            if text in _names(image_id, member):
                called.append({column: batch[column][i].as_py() for column in _COLUMNS})
    if len(called) == 1:
        return called[0]
    if called:
        some = ", ".join(row["image_id"] for row in called[:_NUM_NEAREST])
        raise ValueError(f"{len(called)} images are called {text!r}: {some}; give the image_id")
    raise ValueError(f"no image {text!r} in the table images; {_suggestion(_nearest(images, text))}")


def _names(image_id: str, member: str) -> set[str]:
    paths = (PurePosixPath(image_id), PurePosixPath(member))
    return {member, *(path.name for path in paths), *(path.stem for path in paths)}


def _nearest(images: Table, text: str) -> list[str]:
    names: dict[str, str] = {}
    for batch in images.batches(["image_id"]):
        ids = batch["image_id"].to_pylist()
        names |= {PurePosixPath(i).name: i for i in ids} | {i: i for i in ids}
        if len(names) > _NUM_COMPARED:
            break
    return list(dict.fromkeys(names[n] for n in difflib.get_close_matches(text, names, _NUM_NEAREST, 0.5)))


def _suggestion(nearest: list[str]) -> str:
    return f"the nearest are {', '.join(nearest)}" if nearest else "nothing is called similarly"
