"""multipart/form-data (RFC 7578) from bytes that are all there, strictly: what is not well formed is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEADER_BYTES = 4096  # of one part

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, section 5.1.1
_PARAMETER = re.compile(r';\s*([\w!#$%&\'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*')


@dataclass(frozen=True, slots=True)
class Part:
    """One field of the form; `is_file` where the sender gave a file name, which nothing is ever done with."""

    name: str
    is_file: bool
    data: bytes


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names; `ValueError` where it names none that is allowed."""
    parameters = _parameters(content_type.partition(";")[1] + content_type.partition(";")[2], "Content-Type")
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError("multipart/form-data needs a boundary of 1 to 70 characters")
    return boundary.encode("ascii")


def parse(body: bytes, boundary: bytes, max_parts: int) -> list[Part]:
    """The parts in their order; `ValueError` for what is no form, or has more parts."""
    delimiter = b"--" + boundary
    if not body.startswith(delimiter):
        raise ValueError("the form does not begin with its boundary")
    parts: list[Part] = []
    position = len(delimiter)
    while not body.startswith(b"--", position):
        if len(parts) == max_parts:
            raise ValueError(f"the form has more than {max_parts} parts")
        if not body.startswith(b"\r\n", position):
            raise ValueError("a boundary of the form does not end its line")
        start = position + 2
        end = body.find(b"\r\n" + delimiter, start - 2)
        if end < 0:
            raise ValueError("the form ends before its last boundary; it was cut off")
        parts.append(_part(body, start, end))
        position = end + 2 + len(delimiter)
    return parts


def _part(body: bytes, start: int, end: int) -> Part:
    head_end = body.find(b"\r\n\r\n", start, min(end, start + MAX_HEADER_BYTES))
    if head_end < 0:
        raise ValueError(f"a part of the form has no end of its headers within {MAX_HEADER_BYTES} bytes")
    try:
        head = body[start:head_end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("the headers of a part of the form are not UTF-8") from error
    headers = {}
    for line in head.split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"a part of the form has the header line {line[:40]!r}, without a colon")
        headers[name.strip().lower()] = value.strip()
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "7bit", "8bit"):
        raise ValueError("parts of the form must be sent as they are, without a transfer encoding")
    kind, _, rest = headers.get("content-disposition", "").partition(";")
    if kind.strip().lower() != "form-data":
        raise ValueError("a part of the form is not of the disposition form-data")
    parameters = _parameters(";" + rest, "Content-Disposition")
    if "name" not in parameters:
        raise ValueError("a part of the form has no name")
    is_file = "filename" in parameters or "filename*" in parameters
    return Part(parameters["name"], is_file, body[head_end + 4 : end])


def _parameters(text: str, header: str) -> dict[str, str]:
    """`; name=value; name="value"` -> names, in lower case, and values."""
    parameters: dict[str, str] = {}
    position = 0
    text = text.rstrip().rstrip(";")
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match[1].lower() in parameters:
            raise ValueError(f"the header {header} of the form cannot be read")
        quoted, plain = match[2], match[3]
        parameters[match[1].lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()
    return parameters
