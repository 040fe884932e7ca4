"""The tags of a video over time: a table, and a strip to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ram.inference.frames import Every, read_frames
from ram.inference.image_inputs import NamedImage, read_image
from ram.inference.results import Result
from ram.inference.tagger import Tagger
from ram.io.tables import temporary_path

COLUMNS = ("time_s", "frame", "tag", "score")
_MAX_THUMBNAILS = 16  # kept; of a longer video every second one is dropped, again and again
_SHOWN, _NUM_BARS = 8, 12
_WIDTH, _LABELS, _THUMBNAIL, _BAR, _MARGIN, _FONT_SIZE = 1080, 180, 72, 22, 10, 14


class Timeline:
    """Collects the results of a stream of frames, in their order; memory holds tags and a few thumbnails."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, OSError]] = []  # of frames that could not be read
        self._rows: list[tuple[float | None, int, str, float]] = []
        self._frames: list[tuple[float | None, int]] = []
        self._thumbnails: dict[int, Image.Image] = {}  # by the place of the frame among those looked at
        self._step = 1

    def add(self, result: Result) -> None:
        """One frame; its image must be a `NamedImage` that says which."""
        image = result.image
        assert isinstance(image, NamedImage)
        assert image.frame is not None
        if result.tags is None:
            assert result.error is not None
            self.errors.append((result.name, result.error))
            return
        place = len(self._frames)
        self._frames.append((image.time_s, image.frame))
        self._rows += [(image.time_s, image.frame, tag.name, tag.score) for tag in result.tags]
        if place % self._step == 0:
            self._thumbnails[place] = _thumbnail(image)
            if len(self._thumbnails) > _MAX_THUMBNAILS:
                self._step *= 2
                self._thumbnails = {p: t for p, t in self._thumbnails.items() if p % self._step == 0}

    @property
    def num_frames(self) -> int:
        """Frames that were tagged, with or without a tag."""
        return len(self._frames)

    @property
    def table(self) -> pd.DataFrame:
        """A row a frame and tag: time_s (from the beginning; NaN: not known), frame (from 0), tag, score (0 … 1)."""
        frame = pd.DataFrame(self._rows, columns=list(COLUMNS))
        return frame.astype({"time_s": "float64", "frame": "int64", "score": "float64"})

    def strip(self) -> Image.Image:
        """Some frames side by side, and under them a bar a tag, drawn where it is found, darker for a higher score.

        The tags are those with the greatest sum of scores. `ValueError` where no frame was tagged.
        """
        if not self._frames:
            raise ValueError("there is no frame to draw; every one of the video was refused")
        totals = self.table.groupby("tag")["score"].sum().sort_values(ascending=False, kind="stable")
        names = list(totals.index[:_NUM_BARS])
        height = 3 * _MARGIN + _THUMBNAIL + len(names) * _BAR + 2 * _FONT_SIZE
        page = Image.new("RGB", (_WIDTH, height), "white")
        draw, font = ImageDraw.Draw(page), ImageFont.load_default(_FONT_SIZE)
        for x, image in self._shown():
            page.paste(image, (int(x), _MARGIN))
        top = 2 * _MARGIN + _THUMBNAIL
        for row, name in enumerate(names):
            y = top + row * _BAR
            draw.text((_MARGIN, y + 2), name[:24], fill="black", font=font)
            draw.line((_LABELS, y + _BAR - 1, _WIDTH - _MARGIN, y + _BAR - 1), fill="#e5e7eb")
            for x0, x1, score in self._bars(name):
                shade = tuple(round(255 + (c - 255) * (0.25 + 0.75 * score)) for c in (14, 116, 144))
                draw.rectangle((x0, y + 3, max(x1 - 1, x0), y + _BAR - 4), fill=shade)
        bottom = top + len(names) * _BAR + 4
        first, last = (_label(*self._frames[i]) for i in (0, -1))
        draw.text((_LABELS, bottom), first, fill="#4b5563", font=font)
        draw.text((_WIDTH - _MARGIN - draw.textlength(last, font=font), bottom), last, fill="#4b5563", font=font)
        return page

    def write_strip(self, path: Path) -> None:
        """Write the strip as PNG, in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(path)
        self.strip().save(temporary, "PNG")
        temporary.replace(path)

    def _x(self) -> list[float]:
        """Where each tagged frame begins, in pixels, and where the last one ends; by time where all times are known."""
        times = [time_s for time_s, _ in self._frames]
        at = [float(f) for _, f in self._frames] if None in times else [float(t) for t in times if t is not None]
        step = (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else 1.0
        span = max(at[-1] - at[0] + step, 1e-9)
        return [_LABELS + (a - at[0]) / span * (_WIDTH - _MARGIN - _LABELS) for a in (*at, at[-1] + step)]

    def _bars(self, name: str) -> Iterator[tuple[float, float, float]]:
        x, place = self._x(), {frame: i for i, (_, frame) in enumerate(self._frames)}
        for _, frame, tag, score in self._rows:
            if tag == name:
                yield x[place[frame]], x[place[frame] + 1], score

    def _shown(self) -> Iterator[tuple[float, Image.Image]]:
        x, right = self._x(), 0.0
        for place, image in list(self._thumbnails.items())[:: max(1, len(self._thumbnails) // _SHOWN)]:
            if x[place] >= right and x[place] + image.width <= _WIDTH:
                yield x[place], image
                right = x[place] + image.width + 2


def tag_video(
    tagger: Tagger,
    path: Path | str,
    every: str | float | int = "1s",
    *,
    fps: float | None = None,
    batch_size: int = 16,
    **options: Any,
) -> Timeline:
    """The tags of a video, an animation or a folder of frames, over time; `options` are those of `Tagger.stream`.

    `every`: `"0.5s"` looks at a frame every half second, `"10"` at every tenth. `fps` gives a folder's frames times.
    """
    timeline = Timeline()
    frames = read_frames(Path(path), Every.of(every), fps=fps, max_pixels=tagger.max_pixels)
    for result in tagger.stream(frames, batch_size, **options):
        timeline.add(result)
    return timeline


def _thumbnail(source: NamedImage) -> Image.Image:
    image = read_image(source, _THUMBNAIL)
    width = max(1, min(round(image.width * _THUMBNAIL / image.height), 2 * _THUMBNAIL))
    return image.resize((width, _THUMBNAIL))


def _label(time_s: float | None, frame: int) -> str:
    return f"frame {frame}" if time_s is None else f"{time_s:.1f} s"
