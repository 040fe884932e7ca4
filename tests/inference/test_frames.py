from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ram.inference.frames import Every, read_frames
from ram.inference.tagger import Tagger
from ram.inference.timeline import Timeline, tag_video
from ram.io.images import ImageError
from ram.model.checkpoint import Checkpoint


def colors(number: int) -> list[Image.Image]:
    return [Image.new("RGB", (24, 16), (10 * i, 255 - 10 * i, 40)) for i in range(number)]


def animation(path: Path, number: int = 8, duration_ms: int | list[int] = 250) -> Path:
    first, *rest = colors(number)
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=duration_ms, loop=0, **options)
    return path


def folder(path: Path, number: int) -> Path:
    path.mkdir()
    for i, image in enumerate(colors(number)):
        image.save(path / f"frame{i}.png")  # frame10 comes before frame2 by name
    return path


def taken(path: Path, every: str, **options: Any) -> list[tuple[int | None, float | None]]:
    return [(f.frame, f.time_s) for f in read_frames(path, Every.of(every), **options)]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_frames_of_an_animation_have_their_times_and_pixels(tmp_path: Path, suffix: str) -> None:
    frames = list(read_frames(animation(tmp_path / f"a{suffix}"), Every.of(1)))
    assert [(f.frame, f.time_s) for f in frames] == [(i, pytest.approx(i / 4)) for i in range(8)]
    for frame, wanted in zip(frames, colors(8), strict=True):
        assert isinstance(frame.content, Image.Image)
        difference = np.abs(np.asarray(frame.content, int) - np.asarray(wanted, int))
        assert difference.max() <= 12, "GIF has 256 colors"
    assert taken(tmp_path / f"a{suffix}", "3") == [(0, 0.0), (3, pytest.approx(0.75)), (6, pytest.approx(1.5))]
    assert [i for i, _ in taken(tmp_path / f"a{suffix}", "0.5s")] == [0, 2, 4, 6]
    assert [i for i, _ in taken(tmp_path / f"a{suffix}", "1s")] == [0, 4]


def test_seconds_are_of_the_clock_where_frames_last_unequally(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", 5, [100, 2500, 100, 100, 100])
    assert [i for i, _ in taken(path, "1s")] == [0, 2], "nothing new is shown at 1 s and 2 s"


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = folder(tmp_path / "frames", 12)
    names = [Path(f.name).name for f in read_frames(path, Every.of("1"))]
    assert names == [f"frame{i}.png" for i in range(12)]
    assert taken(path, "5") == [(0, None), (5, None), (10, None)]
    assert taken(path, "1s", fps=5) == [(0, 0.0), (5, 1.0), (10, 2.0)]
    with pytest.raises(ValueError, match="no times; give --fps"):
        taken(path, "1s")


@pytest.mark.parametrize(
    ("text", "message"),
    [("0", "at least 1"), ("0s", "more than 0"), ("-1", "got '-1'"), ("often", "got 'often'"), ("1m", "got '1m'")],
)
def test_an_interval_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Every.of(text)


def test_an_interval_is_seconds_or_frames() -> None:
    assert Every.of("10") == Every.of(10) == Every(frames=10)
    assert Every.of("2s") == Every.of("2 s") == Every.of(2.0) == Every(seconds=2.0)
    with pytest.raises(ValueError, match="either"):
        Every()


def test_sources_that_are_none_are_refused_and_broken_ones_say_from_where(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "none.gif", "no video, animation or folder"),
        (tmp_path / "empty", "no images"),
    ):
        with pytest.raises(ValueError, match=message):
            taken(path, "1")
    with pytest.raises(ValueError, match="fps must be above 0"):
        taken(tmp_path / "empty", "1", fps=0)
    (tmp_path / "text.gif").write_text("text")
    (frame,) = read_frames(tmp_path / "text.gif", Every.of("1"))
    assert isinstance(frame.content, ImageError)
    (frame,) = read_frames(animation(tmp_path / "a.gif"), Every.of("1"), max_pixels=383)
    assert "24 x 16 pixels, more than 383" in str(frame.content)


def test_a_video_without_pyav_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.mp4").write_bytes(b"")
    original = builtins.__import__

    def without_av(name: str, *args: Any, **options: Any) -> Any:
        if name == "av":
            raise ImportError("blocked")
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ValueError, match=r"pip install 'ram-tagger\[video\]'"):
        taken(tmp_path / "v.mp4", "1")


class _Video:
    """Stands in for what PyAV opens: frames with times, or with a rate alone, and an error behind them."""

    width, height, average_rate = 24, 16, Fraction(4)

    def __init__(self, times: list[float | None], error: Exception | None = None) -> None:
        self.streams = types.SimpleNamespace(video=[self])
        self._times, self._error = times, error

    def __enter__(self) -> _Video:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def decode(self, stream: _Video) -> Iterator[Any]:
        for image, time in zip(colors(len(self._times)), self._times, strict=True):
            yield types.SimpleNamespace(time=time, to_image=lambda image=image: image)
        if self._error:
            raise self._error


def test_frames_of_a_video_are_taken_by_its_times_or_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FFmpegError(Exception):
        pass

    (tmp_path / "v.mp4").write_bytes(b"")
    av = types.ModuleType("av")
    av.FFmpegError = FFmpegError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "av", av)
    for times in ([0.0, 0.25, 0.5, 0.75, 1.0, 1.25], [None] * 6):
        av.open = lambda path, times=times: _Video(times)  # type: ignore[attr-defined]
        assert taken(tmp_path / "v.mp4", "0.5s") == [(0, 0.0), (2, 0.5), (4, 1.0)]
    av.open = lambda path: _Video([0.0, 1.0], FFmpegError("cut off"))  # type: ignore[attr-defined]
    *_, last = read_frames(tmp_path / "v.mp4", Every.of("1"))
    assert "cannot be read from here on: cut off" in str(last.content)
    (refused,) = read_frames(tmp_path / "v.mp4", Every.of("1"), max_pixels=10)
    assert "24 x 16 pixels, more than 10" in str(refused.content)


def test_a_real_video_is_read_where_pyav_is_installed(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'ram-tagger[video]'")
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for i in range(16):
            image = Image.new("RGB", (32, 16), (250, 10, 10) if i < 8 else (10, 10, 250))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    frames = list(read_frames(tmp_path / "v.mp4", Every.of("0.5s")))
    assert [(f.frame, f.time_s) for f in frames] == [(4 * i, pytest.approx(i / 2, abs=0.02)) for i in range(4)]
    reds = [np.asarray(f.content)[..., 0].mean() for f in frames]
    assert min(reds[:2]) > 200 > 60 > max(reds[2:])


def test_the_table_has_the_tags_of_every_frame_that_is_looked_at(checkpoint: Checkpoint, tmp_path: Path) -> None:
    tagger = Tagger(checkpoint)
    timeline = tag_video(tagger, animation(tmp_path / "a.webp"), "0.5s", batch_size=3, top_k=2, threshold=0.0)
    assert list(timeline.table.columns) == ["time_s", "frame", "tag", "score"]
    assert timeline.num_frames == 4
    for frame, image in enumerate(colors(8)):
        own = timeline.table[timeline.table["frame"] == frame]
        if frame % 2:
            assert own.empty
            continue
        wanted = tagger(image, top_k=2, threshold=0.0)[0]
        assert own["tag"].tolist() == [t.name for t in wanted]
        assert own["score"].to_numpy() == pytest.approx([t.score for t in wanted], abs=1e-4)
        assert own["time_s"].tolist() == pytest.approx([frame / 4] * 2)


def test_the_strip_has_a_bar_where_and_only_where_a_tag_is_found(checkpoint: Checkpoint, tmp_path: Path) -> None:
    tagger = Tagger(checkpoint)
    path = folder(tmp_path / "frames", 10)
    scores = tagger.scores(colors(10), ["dog"])[:, 0]
    limit = float(np.sort(scores)[4:6].mean())  # between two images, so that no last bit decides
    timeline = tag_video(tagger, path, "1", tags=["dog"], threshold=limit)
    timeline.write_strip(tmp_path / "out" / "strip.png")
    with Image.open(tmp_path / "out" / "strip.png") as strip:
        pixels = np.asarray(strip.convert("RGB"), int)
    y = 2 * 10 + 72 + 11  # the middle of the first bar
    x = 180 + (np.arange(10) + 0.5) / 10 * (1080 - 10 - 180)
    drawn = pixels[y, x.astype(int)].sum(axis=1) < 3 * 255
    np.testing.assert_array_equal(drawn, scores >= limit)
    assert drawn.sum() == 5
    assert not list((tmp_path / "out").glob(".*"))


def test_broken_frames_are_told_and_left_out(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = folder(tmp_path / "frames", 4)
    (path / "frame2.png").write_bytes(b"text")
    timeline = tag_video(Tagger(checkpoint), path, "1", threshold=0.0)
    assert [name for name, _ in timeline.errors] == [str(path / "frame2.png")]
    assert sorted(set(timeline.table["frame"])) == [0, 1, 3]
    with pytest.raises(ValueError, match="no frame to draw"):
        Timeline().strip()


def test_a_long_video_keeps_few_thumbnails(checkpoint: Checkpoint, tmp_path: Path) -> None:
    timeline = tag_video(Tagger(checkpoint), folder(tmp_path / "frames", 70), "1", threshold=0.0)
    assert 8 <= len(timeline._thumbnails) <= 16
    assert timeline.strip().width == 1080
