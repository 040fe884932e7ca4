"""`ram tag`: tags of images, and of videos over time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ram.cli.speed import Precision, PrecisionOption, ShortlistOption
from ram.cli.tag_output import OutputFormat, output_format, writing

if TYPE_CHECKING:
    from ram.inference.results import Result
    from ram.inference.tagger import Tagger
    from ram.inference.timeline import Timeline


class HierarchyOption(StrEnum):
    """Which of the found tags are said."""

    ALL = "all"
    MOST_SPECIFIC = "most_specific"
    ADD_IMPLIED = "add_implied"


def tag(
    images: Annotated[
        list[str], typer.Argument(help="Images, folders, patterns, tar shards, or - for a list of paths on stdin.")
    ],
    model: Annotated[
        str, typer.Option(help="`champion` (the registry's), a version, a checkpoint folder, or owner/name of the hub.")
    ] = "champion",
    tags: Annotated[
        str | None, typer.Option(help="Score just these tags, known or new: names separated by commas.")
    ] = None,
    tags_file: Annotated[Path | None, typer.Option(help="The same, a name a line; # begins a comment.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="0 to 1 for all tags, or TAG=0.4, as often as you like.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="At most this many tags per image.")] = None,
    hierarchy: Annotated[
        HierarchyOption, typer.Option(help="All found tags, the most specific ones, or what they imply as well.")
    ] = HierarchyOption.ALL,
    captions: Annotated[bool, typer.Option("--captions", help="A caption per image, too.")] = False,
    explain: Annotated[Path | None, typer.Option(help="A folder for the images with the tags' boxes.")] = None,
    frames_every: Annotated[
        str | None, typer.Option(help="Look at videos, animations and folders of frames: every 2s, or every 10th (10).")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of folders of frames.")] = None,
    strip: Annotated[
        Path | None, typer.Option(help="With --frames-every: a folder for images of the tags over time.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 16,
    out: Annotated[Path | None, typer.Option(help="Write to this file, whole: .jsonl, .csv, .parquet or .txt.")] = None,
    output: Annotated[OutputFormat | None, typer.Option("--format", help="How to write; else by --out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json: one object a line.")] = False,
    max_pixels: Annotated[int, typer.Option(help="An image with more is refused.")] = 100_000_000,
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    precision: PrecisionOption = Precision.FP32,
    shortlist: ShortlistOption = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the model from the hub.")] = False,
) -> None:
    """Tag images. Ones that cannot be read are named at the end, and the exit status is then 1."""
    from ram.inference.tagger import load

    form = output_format(OutputFormat.JSON if as_json else output, out)
    if strip is not None and frames_every is None:
        raise ValueError("--strip draws the frames of --frames-every; give that too")
    options: dict[str, Any] = {
        "tags": _names(tags, tags_file),
        "threshold": _threshold(threshold or []),
        "top_k": top_k,
        "hierarchy": hierarchy.value,
        "explain": explain is not None,
        "captions": captions,
    }
    speed: dict[str, Any] = {"precision": precision.value, "shortlist": shortlist}
    tagger = load(model, device, download=download, max_pixels=max_pixels, **speed)
    _say_what_is_new(tagger, options["tags"])
    source = _frames(images, frames_every, fps, max_pixels) if frames_every else _images(images)
    started_s, done = time.monotonic(), 0
    timelines: dict[str, Timeline] = {}
    refused: list[str] = []
    with writing(form, out) as writer:
        for result in _tracked(tagger.stream(source, batch_size, **options)):
            if strip is not None:
                _timeline_of(result, timelines).add(result)
            if result.tags is None:
                refused.append(_reason(result))
                continue
            done += 1
            writer.write(result, result.tags)
            if explain is not None:
                _draw(result, explain, max_pixels)
    for number, (name, timeline) in enumerate(timelines.items()):
        if timeline.num_frames and strip is not None:
            timeline.write_strip(strip / f"{number:03d}-{_file_name(name)}.png")
    _finish(done, refused, time.monotonic() - started_s)


def _names(tags: str | None, tags_file: Path | None) -> list[str] | None:
    """The names of both; None where neither is given, which is all of the model's."""
    if tags is None and tags_file is None:
        return None
    names = [] if tags is None else [name.strip() for name in tags.split(",")]
    if tags_file is not None:
        if not tags_file.is_file():
            raise ValueError(f"there is no file {tags_file} of tag names")
        lines = (line.strip() for line in tags_file.read_text(encoding="utf-8").splitlines())
        found = [line for line in lines if line and not line.startswith("#")]
        if not found and not names:
            raise ValueError(f"{tags_file} has no tag name; write one a line")
        names += found
    return names


def _threshold(given: list[str]) -> float | Mapping[str, float] | None:
    """One for all, or those that are named."""
    own: dict[str, float] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError as error:
            raise ValueError(f"--threshold is a number in 0 … 1 or TAG=number, got {text!r}") from error
        if not equals and len(given) > 1:
            raise ValueError("--threshold is one number for all tags, or TAG=number as often as you like, not both")
        if not equals:
            return number
        own[name.strip()] = number
    return own or None


def _say_what_is_new(tagger: Tagger, names: list[str] | None) -> None:
    """A misspelt tag is scored as a new one: whoever meant the model's own is told."""
    from ram.inference.thresholds import nearest

    for name in names or []:
        if name and tagger.label_system.find(name) is None and (near := nearest(name, tagger.label_system.names)):
            print(f"{name!r} is new to the model, which knows {', '.join(map(repr, near))}", file=sys.stderr)


def _images(arguments: list[str]) -> Iterator[Any]:
    from ram.inference.sources import named_images

    return named_images(arguments, sys.stdin)


def _frames(arguments: list[str], every: str, fps: float | None, max_pixels: int) -> Iterator[Any]:
    from ram.inference.frames import Every, read_frames

    parsed = Every.of(every)
    paths = [path for argument in arguments for path in (map(str.strip, sys.stdin) if argument == "-" else [argument])]
    return (frame for path in paths for frame in read_frames(Path(path), parsed, fps=fps, max_pixels=max_pixels))


def _tracked(results: Iterator[Result]) -> Iterator[Result]:
    from ram.io.progress import track

    return track(results, "tagging", unit="image")


def _timeline_of(result: Result, timelines: dict[str, Timeline]) -> Timeline:
    from ram.inference.timeline import Timeline

    return timelines.setdefault(getattr(result.image, "source", None) or result.name, Timeline())


def _reason(result: Result) -> str:
    text = str(result.error)
    return text if result.name in text else f"{result.name}: {text}"


def _draw(result: Result, directory: Path, max_pixels: int) -> None:
    from ram.inference.draw import boxed
    from ram.inference.image_inputs import read_image

    assert result.tags is not None
    directory.mkdir(parents=True, exist_ok=True)
    image = read_image(result.image, max_pixels=max_pixels)  # type: ignore[arg-type]
    boxed(image, result.tags).save(directory / f"{result.index:06d}-{_file_name(result.name)}.png")


def _file_name(name: str) -> str:
    """The end of a path, of letters that every file system takes."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in Path(name).name)[-80:]


def _finish(done: int, refused: list[str], elapsed_s: float) -> None:
    for line in refused:
        print(f"not tagged: {line}", file=sys.stderr)
    rate = done / max(elapsed_s, 1e-9)
    print(f"{done} images tagged in {elapsed_s:.1f} s, {rate:.1f} a second; {len(refused)} refused", file=sys.stderr)
    if refused:
        raise typer.Exit(1)
