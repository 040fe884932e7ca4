"""Videos, animations and folders of frames -> the frames that are looked at, with their times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.inference.image_inputs import NamedImage
from ram.io.images import MAX_PIXELS, SUFFIXES, ImageError, check_size, each_frame, read_file, upright_rgb

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv")
_DEFAULT_DURATION_S = 0.1  # of a frame of an animation that says none, as browsers take it
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Every:
    """Which frames are looked at: the first of every so many seconds, or every n-th."""

    seconds: float | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.frames is None):
            raise ValueError("say either every how many seconds, or every how many frames")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"a frame every {self.seconds:g} s cannot be; give more than 0")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"every n-th frame: n must be at least 1, got {self.frames}")

    @classmethod
    def of(cls, text: str | float | int) -> Every:
        """`"0.5s"` (or 0.5): seconds; `"10"` (or 10): every tenth frame."""
        match = re.fullmatch(r"(?:(\d+)|(\d*\.?\d+) ?s|(\d*\.\d+))", str(text).strip())
        if match is None:
            raise ValueError(f"frames are taken every so many seconds, `2s`, or frames, `10`; got {text!r}")
        return cls(frames=int(match[1])) if match[1] else cls(seconds=float(match[2] or match[3]))


class _Sampler:
    """Says of frames in their order whether they are looked at."""

    def __init__(self, every: Every) -> None:
        self._every = every
        self._due_s = 0.0

    def __call__(self, index: int, time_s: float | None) -> bool:
        if self._every.frames is not None:
            return index % self._every.frames == 0
        assert self._every.seconds is not None
        if time_s is None:
            raise ValueError("these frames have no times; give --fps, or take every n-th frame")
        if time_s < self._due_s - _ROUNDING_S:
            return False
        self._due_s = (math.floor((time_s + _ROUNDING_S) / self._every.seconds) + 1) * self._every.seconds
        return True


def read_frames(
    path: Path, every: Every, *, fps: float | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator[NamedImage]:
    """The frames of a video file, an animated GIF, WebP or PNG, or a folder with an image a frame, in their order.

    A folder's frames are in the order of the numbers in their names, and have times where `fps` says how many a second
    are; other sources know their own. A frame that cannot be read comes with its reason. `ValueError` for a source that
    is not there, a folder without images, times that are wanted and not known, and a video without PyAV installed.
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be above 0, got {fps}")
    if path.is_dir():
        return _of_folder(path, every, fps)
    if not path.is_file():
        raise ValueError(f"there is no video, animation or folder of frames at {path}")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _of_video(path, every, max_pixels, _pyav(path))
    return _of_animation(path, every, max_pixels)


def _named(path: Path, index: int, time_s: float | None, content: Any) -> NamedImage:
    return NamedImage(f"{path} frame {index}", content, str(path), index, time_s)


def _of_folder(folder: Path, every: Every, fps: float | None) -> Iterator[NamedImage]:
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()), key=_number_key)
    if not files:
        raise ValueError(f"{folder} has no images; a folder of frames has one a frame")
    wanted = _Sampler(every)
    for index, file in enumerate(files):
        time_s = None if fps is None else index / fps
        if wanted(index, time_s):
            yield NamedImage(str(file), file, str(folder), index, time_s)


def _number_key(path: Path) -> list[tuple[int, str]]:
    """So that frame 10 comes after frame 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _of_animation(path: Path, every: Every, max_pixels: int) -> Iterator[NamedImage]:
    wanted, time_s, index = _Sampler(every), 0.0, 0
    try:
        for frame, duration_s in each_frame(read_file(path), max_pixels):
            if wanted(index, time_s):
                yield _named(path, index, time_s, upright_rgb(frame))
            time_s += duration_s or _DEFAULT_DURATION_S
            index += 1
    except ImageError as error:
        reason = ImageError(f"the animation cannot be read from here on: {error}", error.reason)
        yield _named(path, index, None, reason)


def _pyav(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise ValueError(
            f"reading {path} wants PyAV: pip install 'ram-tagger[video]'. Animated GIF, WebP and PNG, and folders of "
            "frames, want nothing"
        ) from error
    return av


def _of_video(path: Path, every: Every, max_pixels: int, av: Any) -> Iterator[NamedImage]:
    wanted, index = _Sampler(every), 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ImageError("it has no images")
            stream = container.streams.video[0]
            check_size(stream.width, stream.height, max_pixels)
            for index, frame in enumerate(container.decode(stream)):
                time_s = frame.time if frame.time is not None else _by_rate(index, stream.average_rate)
                if wanted(index, time_s):
                    yield _named(path, index, time_s, frame.to_image())
    except ImageError as error:
        yield _named(path, index, None, error)
    except av.FFmpegError as error:
        yield _named(path, index, None, ImageError(f"the video cannot be read from here on: {error}"))


def _by_rate(index: int, rate: Any) -> float | None:
    return float(index / rate) if rate else None
