"""The entrances for other people's bytes, under bytes of any kind: `RAM_FUZZ_EXAMPLES=100000` for a night of them."""

from __future__ import annotations

import base64
import io
import json
import os
from typing import Any

import hostile_images
import hostile_tars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ram.datasets.coco_json import read_coco
from ram.datasets.image_info import ImageInfo, ImageLimits, Refused, examine
from ram.datasets.webdataset import WebDataset
from ram.io.documents import parse_yaml
from ram.io.images import ImageError, open_image
from ram.io.tars import TarError, each_member

fuzzed = settings(
    max_examples=int(os.environ.get("RAM_FUZZ_EXAMPLES", "40")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
LIMITS = ImageLimits(min_side=1, max_pixels=100_000, max_aspect=100)
IMAGES = [
    hostile_images.encoded(hostile_images.noise(16, 12), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
]
TAR = hostile_tars.pax((b"path", b"x" * 120)) + hostile_tars.pair(b"a") + hostile_tars.pair(b"b") + hostile_tars.END


@st.composite
def harmed(draw: st.DrawFn, wholes: list[bytes]) -> bytes:
    """A whole file of which some bytes are changed, left out or put in, and perhaps the end cut off."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for at, change, put in draw(
        st.lists(st.tuples(st.integers(0, len(data)), st.integers(0, 8), st.binary(max_size=8)), max_size=6)
    ):
        data[at : at + change] = put
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@fuzzed
@given(harmed(IMAGES))
def test_bytes_are_an_image_within_bounds_or_refused_with_a_reason(data: bytes) -> None:
    try:
        image = open_image(data, max_pixels=100_000, min_size=8)
    except ImageError as error:
        assert error.reason.isidentifier()
    else:
        assert image.mode == "RGB"
        assert image.width * image.height <= 100_000
    assert isinstance(examine(data, LIMITS), ImageInfo | Refused)


@fuzzed
@given(harmed([TAR, *(hostile_tars.GOOD + tail for tail in hostile_tars.BROKEN.values() if len(tail) < 20_000)]))
def test_a_tar_ends_and_its_members_are_of_it(data: bytes) -> None:
    num_bytes = 0
    try:
        for member in each_member(io.BytesIO(data)):
            member.name.encode("utf-8")
            try:
                num_bytes += len(member.read(1 << 20))
            except ValueError as error:
                assert str(error)
    except TarError as error:
        assert "a broken archive" in str(error)
    assert num_bytes <= len(data)


_NAMES = ["caption", "captions", "id", "x"]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["caption", "captions", "id", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@fuzzed
@given(_VALUES | st.dictionaries(st.sampled_from(["caption", "captions"]), _VALUES), st.binary(max_size=10))
def test_a_json_of_captions_gives_texts_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, value: Any, noise: bytes
) -> None:
    document = json.dumps(value).encode()
    path = tmp_path_factory.getbasetemp() / "fuzzed.tar"
    path.write_bytes(
        hostile_tars.member(b"a.jpg") + hostile_tars.member(b"a.json", document)
        + hostile_tars.member(b"b.jpg") + hostile_tars.member(b"b.json", document[:-2] + noise) + hostile_tars.END
    )  # fmt: skip
    items = list(WebDataset(name="web", path=str(path)).read(path))
    assert [item.key for item in items] == ["a", "b"]
    for item in items:
        assert getattr(item, "reason", "") == "bad_captions" or all(isinstance(c, str) for c in item.captions)


_FIELDS = ["id", "file_name", "name", "image_id", "category_id", "bbox", "caption", ""]
_COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
    "categories": [{"id": 1, "name": "dog"}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}, {"image_id": 1, "caption": "x"}],
}


@fuzzed
@given(
    st.sampled_from(sorted(_COCO)),
    st.sampled_from(["id", "file_name", "name", "image_id", "category_id", "bbox", "caption", ""]),
    _VALUES,
)
def test_a_coco_file_with_any_value_anywhere_is_read_or_refused_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, section: str, field: str, value: Any
) -> None:
    changed = value if not field else [{**entry, field: value} for entry in _COCO[section]]
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text(json.dumps(_COCO | {section: changed}))
    try:
        document = read_coco(path)
    except ValueError as error:
        assert "fuzzed.json" in str(error)
    else:
        assert all(isinstance(image["file_name"], str) for image in document.images.values())


@fuzzed
@given(st.text(alphabet="ab:&*[]{}<>!-#|? \n\t'\"0.,", max_size=60))
def test_yaml_of_any_kind_is_plain_values_or_refused_by_its_name(text: str) -> None:
    try:
        found = parse_yaml(text, "fuzzed.yaml")
    except ValueError as error:
        assert "fuzzed.yaml" in str(error)
    else:
        assert isinstance(found, dict | list | str | int | float | bool | None)


_KINDS = ["application/json", "multipart/form-data; boundary=b", "multipart/form-data", "text/html", "",
          'multipart/form-data; boundary="', "application/json; charset=utf-7"]  # fmt: skip
_FORM = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n' + IMAGES[1] + b"\r\n"
_FORM += b'--b\r\nContent-Disposition: form-data; name="tags"\r\n\r\ndog\r\n--b--\r\n'
_JSON = json.dumps({"images": [base64.b64encode(IMAGES[1]).decode()], "tags": ["dog"], "top_k": 3}).encode()


@fuzzed
@given(
    st.sampled_from(_KINDS),
    harmed([_FORM, _JSON]) | st.binary(max_size=80) | _VALUES.map(lambda v: json.dumps(v).encode()),
)
def test_a_question_over_http_is_read_or_refused_and_never_our_failure(kind: str, body: bytes) -> None:
    pytest.importorskip("fastapi", reason="the server needs ram-tagger[serve]")
    from ram.serving.limits import Limits, Refused
    from ram.serving.requests import read_question

    try:
        question = read_question(kind, body, Limits())
    except Refused as refused:
        assert refused.status in (413, 415, 422)
        assert refused.message
        refused.message.encode("utf-8")
    else:
        assert question.images
        for tag in question.options.tags or ():
            assert tag.isprintable()
