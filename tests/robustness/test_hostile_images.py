"""Files that pretend to be images: each is refused with its reason, wherever images come in."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import hostile_images as hostile
import pytest
from PIL import Image, ImageFile

from ram.datasets.image_info import ImageLimits, Refused, examine
from ram.inference.image_inputs import NamedImage, read_image
from ram.io.images import MAX_SCANS, ImageError, each_frame, open_header, open_image, read_file

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ImageLimits(min_side=1, max_pixels=100_000_000, max_aspect=1e9)
GROUPS = {
    "wrong_type": hostile.WRONG_TYPES,
    "truncated": hostile.CUT_OFF,
    "undecodable": hostile.UNDECODABLE | hostile.HEADS_ALONE,
    "too_large": hostile.TOO_LARGE,
    "too_long": hostile.TOO_LONG,
    "unknown_depth": hostile.UNKNOWN_DEPTH,
    "empty": {"nothing": b""},
}
CASES = [
    pytest.param(data, reason, id=f"{reason}-{name}")
    for reason, group in GROUPS.items()
    for name, data in group.items()
]
# Whether a file is cut off or broken, decoders do not always know.
ALIKE = {"truncated": {"truncated", "undecodable"}, "undecodable": {"truncated", "undecodable"}}


@pytest.mark.parametrize(("data", "reason"), CASES)
def test_a_hostile_image_is_refused_with_its_reason_by_the_reader_the_tagger_and_the_ingestion(
    data: bytes, reason: str
) -> None:
    for read in (open_image, lambda data: read_image(NamedImage("a.jpg", data))):
        with pytest.raises(ImageError) as refused:
            read(data)
        assert refused.value.reason in ALIKE.get(reason, {reason})
        assert 10 < len(str(refused.value)) < 400
    found = examine(data, LIMITS)
    assert isinstance(found, Refused)
    if data[:2] in (b"\xff\xd8", b"\x89P", b"RI"):
        assert found.reason in ALIKE.get(reason, {reason})
    else:
        assert found.reason in ("wrong_type", "empty")
    assert found.detail


_IN_LITTLE_MEMORY = """
import resource, sys
sys.path[:0] = [{support!r}]
import hostile_images as hostile
from ram.io.images import ImageError, open_image
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + {allowed}, held + {allowed}))
for data in (*hostile.TOO_LARGE.values(), *hostile.TOO_LONG.values(), *hostile.UNDECODABLE.values()):
    try:
        open_image(data)
    except ImageError:
        continue
    raise SystemExit("read")
print("all refused")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does")
def test_bombs_are_refused_within_64_mib() -> None:
    code = _IN_LITTLE_MEMORY.format(support=str(ROOT / "tests" / "support"), allowed=64 << 20)
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (0, "all refused\n"), run.stderr[-2000:]


def test_a_jpeg_of_as_many_scans_as_are_allowed_is_read() -> None:
    used = hostile.jpeg_of_scans(0, side=64).count(b"\xff\xda")
    assert open_image(hostile.jpeg_of_scans(MAX_SCANS - used, side=64)).size == (64, 64)
    with pytest.raises(ImageError, match=f"{MAX_SCANS + 1} scans"):
        open_image(hostile.jpeg_of_scans(MAX_SCANS - used + 1, side=64))


def test_the_bounds_are_ours_and_nothing_of_pillow_s_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for kind in ("JPEG", "PNG", "BMP"):  # of TIFF and WEBP, Pillow's own bound holds as well
            assert open_image(hostile.encoded(hostile.noise(), kind)).size == (64, 48)
    assert said == []
    with pytest.raises(ImageError):
        open_image(hostile.TOO_LARGE["PNG"])
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters) == (100, *before)


def test_no_other_module_opens_images() -> None:
    openers = set()
    for path in (ROOT / "ram").rglob("*.py"):
        if re.search(r"\bImage\.(open|OPEN)\b|MAX_IMAGE_PIXELS|LOAD_TRUNCATED|ImageFile\.\w+\(", path.read_text()):
            openers.add(path.relative_to(ROOT).as_posix())
    assert openers == set(), "ram/io/images.py alone opens them, by their formats' own classes"


def test_postscript_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would hand it to Ghostscript, here a program that leaves a trace."""
    trace = tmp_path / "started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(trace))}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    document = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(Exception):  # noqa: B017 (whatever Pillow says of a program that paints nothing)
        Image.open(io.BytesIO(document)).load()
    assert trace.exists(), "which is how it would be"
    trace.unlink()
    for path in (tmp_path / "a.jpg", tmp_path / "a.eps"):
        path.write_bytes(document)
        with pytest.raises(ImageError):
            read_image(path)
    assert isinstance(examine(document, LIMITS), Refused)
    assert not trace.exists()


def test_only_files_are_read_and_none_that_is_too_long(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "long.jpg").write_bytes(b"x" * 101)
    (tmp_path / "link.jpg").symlink_to("/dev/zero")
    (tmp_path / "sparse.jpg").touch()
    os.truncate(tmp_path / "sparse.jpg", 1 << 40)
    for path, said in {
        tmp_path / "pipe.jpg": "not a file", tmp_path / "link.jpg": "not a file", tmp_path: "not a file",
        tmp_path / "long.jpg": "101 bytes, more than 100", tmp_path / "sparse.jpg": "more than 100",
        Path("/dev/zero"): "not a file", Path("a\0b"): "zero character",
    }.items():  # fmt: skip
        with pytest.raises(ImageError, match=said):
            read_file(path, 100)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none.jpg")
    assert read_file(tmp_path / "long.jpg", 101) == b"x" * 101


def test_an_animation_that_breaks_off_gives_the_frames_before(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.effect_noise((40, 30), 90 + i).convert("P") for i in range(5)]
    whole = hostile.encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40)
    assert [duration_s for _, duration_s in each_frame(whole)] == [0.04] * 5
    frames_read = each_frame(whole[: len(whole) // 2])
    assert [next(frames_read)[0].size for _ in range(2)] == [(40, 30)] * 2
    with pytest.raises(ImageError) as refused:
        next(frames_read)
    assert refused.value.reason in ("truncated", "undecodable")
    monkeypatch.setattr("ram.io.images.MAX_FRAMES", 4)
    with pytest.raises(ImageError, match="more than 4 frames"):
        list(each_frame(whole))


def test_a_reason_survives_the_way_from_a_worker() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ImageError("too long", "too_long")))
    assert (str(error), error.reason) == ("too long", "too_long")


def test_a_header_is_read_without_its_pixels() -> None:
    with open_header(hostile.png(9000, 9000)) as image:
        assert (image.size, image.format, image.mode) == ((9000, 9000), "PNG", "RGB")
