"""A folder of images tagged with one model, over and over: only what is new is scored.

`OUT/<model version>.jsonl` has a line an image: {"image", "sha256", "model", "tags": [{"name", "score", …}]}, or
"error" in place of the tags for one that cannot be read. An image that moved keeps its line's tags; one that changed
is scored anew; one that is gone leaves the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ram.datasets.folder import images_in
from ram.io.images import read_file
from ram.io.progress import track
from ram.io.tables import write_text


class TagsImages(Protocol):
    """What is needed of `ram.inference.tagger.Tagger`."""

    @property
    def version(self) -> str: ...

    def __call__(self, images: list[bytes]) -> Sequence[Sequence[Any]]: ...


@dataclass(frozen=True, slots=True)
class Rescored:
    """What a run did; `path` is the file of all images' tags."""

    path: Path
    model: str
    num_images: int
    num_scored: int
    num_kept: int
    num_refused: int


def rescore(tagger: TagsImages, folder: Path, out: Path) -> Rescored:
    """Tag the images of `folder` that this model has not tagged yet; a killed run goes on where it was."""
    target, progress = out / f"{tagger.version}.jsonl", out / f".{tagger.version}.progress.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    known = {line["sha256"]: line for path in (target, progress) for line in _lines(path) if line["sha256"]}
    images = images_in(folder)
    lines, num_scored = [], 0
    with progress.open("a", encoding="utf-8") as stream:
        for path in track(images, "rescoring", unit="image"):
            name = path.relative_to(folder).as_posix()
            try:
                content = read_file(path)
            except OSError as error:  # no file, or too long a one: without a hash it is tried again every time
                lines.append({"sha256": None, "model": tagger.version, "error": str(error), "image": name})
                num_scored += 1
                continue
            digest = hashlib.sha256(content).hexdigest()
            if digest not in known:
                known[digest] = {"sha256": digest, "model": tagger.version, **_tagged(tagger, content)}
                num_scored += 1
                stream.write(json.dumps(known[digest], ensure_ascii=False) + "\n")
                stream.flush()
            lines.append({**known[digest], "image": name})
    write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), target)
    progress.unlink()
    num_refused = sum("error" in line for line in lines)
    return Rescored(target, tagger.version, len(lines), num_scored, len(lines) - num_scored, num_refused)


def _tagged(tagger: TagsImages, content: bytes) -> dict[str, Any]:
    try:
        found = tagger([content])[0]
    except OSError as error:  # the image's fault: it stands in the file with its reason
        return {"error": str(error)}
    return {"tags": [_row(tag) for tag in found]}


def _row(tag: Any) -> dict[str, Any]:
    row = tag._asdict() if hasattr(tag, "_asdict") else asdict(tag)
    return {"name": row["name"], "score": round(row["score"], 4), "threshold": row["threshold"], "kind": row["kind"]}


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The whole lines of a file; the last one of a killed run may be half written."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)
