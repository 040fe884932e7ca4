from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.serving.multipart import Part, boundary_of, parse

BOUNDARY = b"xYz-1"


def form(*parts: tuple[str, bytes], boundary: bytes = BOUNDARY) -> bytes:
    body = b""
    for head, data in parts:
        body += (
            b"--" + boundary + b"\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
        )
    return body + b"--" + boundary + b"--\r\n"


@given(st.lists(st.tuples(st.sampled_from(["image", "tags"]), st.binary(max_size=60)), max_size=5))
def test_every_form_comes_out_as_it_went_in(fields: list[tuple[str, bytes]]) -> None:
    fields = [(name, data) for name, data in fields if b"--" + BOUNDARY not in data]
    body = form(*((f'name="{name}"', data) for name, data in fields))
    assert [(part.name, part.data) for part in parse(body, BOUNDARY, 5)] == fields


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_a_form_or_refused(noise: bytes) -> None:
    for body in (noise, b"--" + BOUNDARY + noise, form(('name="a"', b"1"))[:-9] + noise):
        try:
            parts = parse(body, BOUNDARY, 3)
        except ValueError:
            continue
        assert all(isinstance(part, Part) for part in parts)
        assert len(parts) <= 3


@given(st.integers(0, 200))
def test_a_form_that_was_cut_off_is_refused(length: int) -> None:
    whole = form(('name="image"; filename="a.png"', b"data" * 20), ('name="tags"', b"dog"))
    end = whole.rindex(b"--")
    with pytest.raises(ValueError):
        parse(whole[: min(length, end)], BOUNDARY, 9)


def test_a_file_name_makes_a_file_and_changes_nothing_else() -> None:
    body = form(('name="image"; filename="../../etc/passwd"', b"x"), ("name=tags", b"dog"), ('name="a\\"b"', b""))
    assert parse(body, BOUNDARY, 9) == [Part("image", True, b"x"), Part("tags", False, b"dog"), Part('a"b', False, b"")]


def test_a_form_that_another_library_wrote_is_read() -> None:
    httpx = pytest.importorskip("httpx")
    files = [("image", ('a"b.png', b"\r\n--\x00", "image/png")), ("image", ("ö.png", b"", "image/png"))]
    request = httpx.Request("POST", "http://a/", files=files, data={"tags": ["Löwe", "dog"]})
    parts = parse(request.read(), boundary_of(request.headers["content-type"]), 4)
    assert sorted((part.name, part.is_file, part.data) for part in parts) == [
        ("image", True, b""), ("image", True, b"\r\n--\x00"), ("tags", False, "Löwe".encode()), ("tags", False, b"dog"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "begin with"),
        (b"--xYz-1\n\n", "end its line"),
        (form(*[('name="a"', b"")] * 4), "more than 3 parts"),
        (b"--xYz-1\r\nContent-Disposition: form-data\r\n\r\n\r\n--xYz-1--", "no name"),
        (b"--xYz-1\r\nnonsense\r\n\r\n\r\n--xYz-1--", "without a colon"),
        (b"--xYz-1\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n--xYz-1--", "form-data"),
        (b"--xYz-1\r\nA: " + b"a" * 5000 + b"\r\n\r\n\r\n--xYz-1--", "headers within"),
        (form(('name="a"\r\nContent-Transfer-Encoding: base64', b"")), "transfer encoding"),
        (form(('name="a"; name="b"', b"")), "cannot be read"),
        (form(('name="a', b"")), "cannot be read"),
        (b"--xYz-1\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n--xYz-1--", "UTF-8"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_the_reason(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(body, BOUNDARY, 3)


@pytest.mark.parametrize(
    "parameters", ["", "; boundary=", "; boundary=" + "a" * 71, '; boundary="a\tb"', '; boundary="a ']
)
def test_a_boundary_is_of_the_length_and_the_letters_that_are_allowed(parameters: str) -> None:
    with pytest.raises(ValueError):
        boundary_of("multipart/form-data" + parameters)
    assert boundary_of('multipart/form-data; charset=utf-8; boundary="a b"') == b"a b"
