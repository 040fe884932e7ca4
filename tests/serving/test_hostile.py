"""The server under images, bodies and bytes that are meant to break it: each has its answer, and the next is served."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import random
import re
import socket
from collections.abc import Callable
from typing import Any

import hostile_images as hostile
import pytest
from starlette.testclient import TestClient

Make = Callable[..., Any]
GROUPS = {
    "wrong type": hostile.WRONG_TYPES,
    "cut off": hostile.CUT_OFF,
    "heads alone": hostile.HEADS_ALONE,
    "too large": hostile.TOO_LARGE,
    "too long": hostile.TOO_LONG,
    "undecodable": hostile.UNDECODABLE,
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_hostile_image_has_its_reason_and_a_good_one_beside_them_its_tags(
    make_app: Make, make_image: Make, group: str
) -> None:
    images = [*GROUPS[group].values(), make_image("red")]
    with TestClient(make_app(max_images=40, max_waiting=40)) as client:
        texts = [base64.b64encode(image).decode() for image in images]
        answer = client.post("/v1/tags", json={"images": texts})
        assert answer.status_code == 200
        *broken, good = answer.json()["results"]
        assert [tag["name"] for tag in good["tags"]] == ["red"]
        assert all(result["error"] and not result["tags"] for result in broken)
        assert client.post("/v1/tags", files=[("image", ("p", images[0]))]).status_code == 422


def test_a_body_that_says_it_is_compressed_is_not_unpacked(make_app: Make) -> None:
    bomb = gzip.compress(b'{"images": [' + b" " * 50_000_000 + b"]}")
    assert len(bomb) < 100_000
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    with TestClient(make_app()) as client:
        assert client.post("/v1/tags", content=bomb, headers=headers).status_code == 422


@pytest.mark.parametrize(
    "question",
    [b'{"images": ["\\ud800"]}', b'{"images": [], "tags": ["a"]}', b'{"images": ["aa"], "tags": ["\\u0000"]}',
     b'{"images": ["aa"], "tags": ["\\ud800"]}', b'{"images": ["aa"], "tags": ["\\u202e<b>"]}',
     b'{"images": ["aa"], "threshold": 1e999}',
     b'{"images": ["aa"], "threshold": NaN}', b'{"images": ["aa"], "top_k": -1}', b'{"images": ["aa"], "top_k": 1e9}',
     b'{"images": ["aa"], "model": "../../etc"}', b'{"images": ["aa"], "__class__": 1}', b'{"images": {"0": "aa"}}',
     b'{"images": ["data:text/html,<b>"]}', b'{"images": ["file:///etc/passwd"]}', b'{"images": ["http://127.0.0.1/"]}',
     b"[" * 100_000, b'{"images": ' + b"[" * 50_000, b"\xff\xfe", b"", b"null", b'{"images": ["' + b"A" * 50_001 + b'"]}'],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_422_in_json_and_repeats_nothing_as_markup(
    make_app: Make, question: bytes
) -> None:
    with TestClient(make_app()) as client:
        answer = client.post("/v1/tags", content=question, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    document = json.loads(answer.content)
    assert document.get("error") or all(result["error"] for result in document["results"])
    assert len(answer.content) < 3000


def test_tags_that_are_markup_come_back_as_json_alone(make_app: Make, make_image: Make) -> None:
    tags = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "javascript:alert(1)", "{{7*7}}"]
    with TestClient(make_app()) as client:
        text = base64.b64encode(make_image()).decode()
        answer = client.post("/v1/tags", json={"images": [text], "tags": tags, "threshold": 0})
        assert sorted(tag["name"] for tag in answer.json()["results"][0]["tags"]) == sorted(tags)
        assert answer.headers["content-type"] == "application/json"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        for path in ("/<script>alert(1)</script>", "/%3Cb%3E", "/v1/labels?model=<b>x</b>"):
            refused = client.get(path)
            assert refused.headers["content-type"] == "application/json"
            assert refused.status_code in (404, 422)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer \t",
        "bearer " + "a" * 5000,
        "Bearer a b",
        "Bearer é",
        "Bearer ../keys",
    ],
)
def test_a_key_of_any_kind_that_is_none_is_401(make_app: Make, tmp_path: Any, header: str) -> None:
    from ram.serving.keys import Keys, add_key

    add_key(tmp_path / "keys", "anna")
    with TestClient(make_app(keys=Keys(tmp_path / "keys"))) as client:
        raw = header.encode("utf-8")
        assert client.get("/v1/models", headers=[(b"authorization", raw)]).status_code == 401
        twice = [(b"authorization", b"Bearer x"), (b"authorization", raw)]
        assert client.get("/v1/models", headers=twice).status_code == 401


def test_bytes_of_any_kind_on_the_wire_leave_the_server_well(make_app: Make, listen: Make, make_image: Make) -> None:
    image = make_image()
    body = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + image + b"\r\n--b--\r\n"
    head = (
        b"POST /v1/tags HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    )
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    rng = random.Random(0)
    statuses = set()
    with listen(make_app(header_timeout_s=0.5, body_timeout_s=0.5)) as port:
        for round_ in range(40):
            data = bytearray((whole, chunked)[round_ % 2])
            for _ in range(rng.randrange(4)):
                at = rng.randrange(len(data))
                data[at : at + rng.randrange(6)] = rng.randbytes(rng.randrange(6))
            with socket.create_connection(("127.0.0.1", port)) as connection, contextlib.suppress(OSError):
                connection.settimeout(30)
                connection.sendall(data)
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
                if answer:
                    statuses.add(int(re.match(rb"HTTP/1\.1 (\d{3}) ", answer)[1]))  # type: ignore[index]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as good:
            good.request("POST", "/v1/tags", body, {"Content-Type": "multipart/form-data; boundary=b"})
            assert good.getresponse().status == 200
    assert 200 in statuses
    assert statuses - {200} <= {400, 404, 405, 408, 411, 413, 415, 422, 431, 501, 503}
