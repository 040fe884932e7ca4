from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ram.serving.images import from_base64
from ram.serving.limits import Limits, Refused
from ram.serving.models import Options
from ram.serving.requests import Question, read_question

IMAGE = base64.b64encode(b"image").decode()
LIMITS = Limits(max_images=2, max_tags=3, max_tag_chars=10, max_image_bytes=20, max_explained=7)


def _form(*fields: tuple[str, str]) -> tuple[str, bytes]:
    lines = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    return "multipart/form-data; boundary=b", "".join([*lines, "--b--"]).encode()


def _json(**fields: Any) -> tuple[str, bytes]:
    return "application/json; charset=utf-8", json.dumps(fields).encode()


def test_both_forms_ask_the_same_question() -> None:
    wanted = Question([b"image"] * 2, Options(("dog", "red hat"), 0.25, 3, 7), "challenger")
    options = {"threshold": 0.25, "top_k": 3, "explain": True, "model": "challenger"}
    images = [IMAGE, f"data:image/png;base64,{IMAGE}"]
    assert read_question(*_json(images=images, tags=["dog", "red hat"], **options), LIMITS) == wanted
    texts = [("threshold", "0.25"), ("top_k", "3"), ("explain", "true"), ("model", "challenger")]
    for tags in ([("tags", "dog, red hat")], [("tags", "dog"), ("tags", "red hat")]):
        assert read_question(*_form(("image", "image"), ("image", "image"), *tags, *texts), LIMITS) == wanted


def test_what_is_left_out_or_left_empty_is_the_models_own() -> None:
    wanted = Question([b"image"], Options(), "champion")
    assert read_question(*_json(images=[IMAGE]), LIMITS) == wanted
    assert read_question(*_form(("image", "image"), ("tags", " "), ("threshold", "")), LIMITS) == wanted


def test_an_image_that_is_no_base64_keeps_its_place_with_the_reason() -> None:
    question = read_question(*_json(images=["../../etc/passwd", IMAGE]), LIMITS)
    assert question.images[1] == b"image"
    assert "base64" in question.images[0]


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (_json(images=[]), 422, "no image"),
        (_json(), 422, "images"),
        (_json(images=[IMAGE] * 3), 413, "2 images"),
        (_json(images=[base64.b64encode(b"x" * 21).decode()]), 413, "20 bytes"),
        (_json(images=[IMAGE], tags=[]), 422, "1 to 3 names"),
        (_json(images=[IMAGE], tags=["a"] * 4), 422, "1 to 3 names"),
        (_json(images=[IMAGE], tags=["a" * 11]), 422, "10 characters"),
        (_json(images=[IMAGE], tags=["a\nb"]), 422, "printable"),
        (_json(images=[IMAGE], threshold=1.5), 422, "threshold"),
        (_json(images=[IMAGE], threshold=float("nan")), 422, "."),
        (_json(images=[IMAGE], top_k=0), 422, "top_k"),
        (_json(images=[IMAGE], top_k="3"), 422, "top_k"),
        (_json(images=[IMAGE], treshold=0.5), 422, "treshold"),
        (_json(images=IMAGE), 422, "images"),
        (("application/json", b"{"), 422, "."),
        (("application/json", b"[" * 100_000), 422, "."),
        (("application/json", b'{"images": ["\\ud800"]}'), 422, "."),
        (("application/json", b"\xff\xfe"), 422, "."),
        (("text/plain", b"dog"), 415, "text/plain"),
        (("", b""), 415, "nothing"),
        (_form(("tags", "dog")), 422, "no image"),
        (_form(("image", "p"), ("image", "p"), ("image", "p")), 413, "2 images"),
        (_form(("image", "p"), ("top_k", "1"), ("top_k", "2")), 422, "twice"),
        (_form(("image", "p"), ("top_k", "one")), 422, "whole number"),
        (_form(("image", "p"), ("top_k", "9" * 5000)), 422, "whole number"),
        (_form(("image", "p"), ("threshold", "nan")), 422, "threshold"),
        (_form(("image", "p"), ("threshold", "low")), 422, "must be a number"),
        (_form(("image", "p"), ("explain", "maybe")), 422, "true or false"),
        (_form(("image", "p"), ("path", "/etc/passwd")), 422, "'path'"),
        (("multipart/form-data", b""), 422, "boundary"),
    ],
)
def test_a_wrong_question_is_refused_with_the_reason(request_: tuple[str, bytes], status: int, message: str) -> None:
    with pytest.raises(Refused, match=message) as refused:
        read_question(*request_, LIMITS)
    assert refused.value.status == status


@pytest.mark.parametrize("text", ["/etc/passwd", "file:///etc/passwd", "data:,a", "data:image/png,YQ==", "a b", "é"])
def test_text_that_holds_no_base64_is_no_image(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        from_base64(text)
