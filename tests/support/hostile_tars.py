"""Tars made of headers by hand, which say what no program that writes tars would."""

from __future__ import annotations

import io
import tarfile

from hostile_images import encoded, noise

END = b"\0" * 1024
IMAGE = encoded(noise(), "JPEG")
CAPTION = b'{"caption": "a dog"}'


def header(
    name: bytes, size: int = 0, kind: bytes = b"0", linked: bytes = b"", size_field: bytes | None = None
) -> bytes:
    """A ustar header with a right sum; negative and very large sizes as GNU tar writes them, in base 256."""
    if size_field is None:
        in_octal = 0 <= size < 8**11
        size_field = b"%011o\0" % size if in_octal else bytes([0x80 if size >= 0 else 0xFF]) + size.to_bytes(
            11, "big", signed=True)  # fmt: skip
    fields = name[:100].ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size_field + b"00000000000\0"
    rest = kind + linked[:100].ljust(100, b"\0") + b"ustar\x0000" + b"\0" * 247
    total = sum(fields) + sum(rest) + 8 * ord(" ")
    return fields + b"%06o\0 " % total + rest


def member(name: bytes, content: bytes = IMAGE, kind: bytes = b"0", **others: bytes) -> bytes:
    return header(name, len(content), kind, **others) + content + b"\0" * (-len(content) % 512)


def pair(key: bytes) -> bytes:
    return member(key + b".jpg") + member(key + b".json", CAPTION)


def pax(*records: tuple[bytes, bytes]) -> bytes:
    content = b""
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body)
        while len(b"%d" % length + body) != length:
            length = len(b"%d" % length + body)
        content += b"%d" % length + body
    return member(b"pax", content, b"x")


def _sparse_of_pax(map_: bytes) -> bytes:
    records = (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9" * 12)
    return pax(*records, (b"GNU.sparse.name", b"a.jpg")) + member(b"a.jpg", map_)


def compressed(kind: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{kind}") as tar:  # type: ignore[call-overload]
        info = tarfile.TarInfo("a.jpg")
        info.size = len(IMAGE)
        tar.addfile(info, io.BytesIO(IMAGE))
    return stream.getvalue()


GOOD = pair(b"good")
# Member names that lead elsewhere, or to nothing.
NAMES = [
    b"../up.jpg", b"../../../../tmp/up.jpg", b"/etc/absolute.jpg", b"a/../../b.jpg", b"C:\\windows.jpg", b"~/home.jpg",
    b".jpg", b"./.jpg", b"a//b.jpg", b"bytes-\xff\xfe.jpg", b"line\nbreak.jpg", b"\x1b[31mred.jpg",
    "עברית\u202egpj.jpg".encode(), b"con.jpg", b"$(touch hacked).jpg", b"'; drop table images; --.jpg", b"-rf.jpg",
    b"%2e%2e%2fup.jpg", b"<b>bold.jpg", b"a" * 96 + b".jpg",
]  # fmt: skip
# Entries that are no files.
KINDS = {"a symbolic link": b"2", "a hard link": b"1", "a character device": b"3", "a block device": b"4", "a pipe": b"6",
         "a sparse file": b"S", "a volume's label": b"V"}  # fmt: skip
# What comes behind a good sample, and ends the reading with a word of why.
BROKEN = {
    "a negative size": header(b"a.jpg", -512),
    "a very negative size": header(b"a.jpg", -(2**62)),
    "a size of 2**62": header(b"a.jpg", 2**62) + END,
    "a size that is no number": header(b"a.jpg", size_field=b"notanumber\0\0"),
    "a wrong sum": b"x" + header(b"a.jpg")[1:],
    "noise": bytes(range(256)) * 4,
    "half a header": header(b"a.jpg")[:300],
    "no end": b"",
    "a name of 4 GB": header(b"././@LongLink", 2**32, b"L") + b"a" * 1024,
    "a name of negative size": header(b"././@LongLink", -512, b"L") + b"a" * 1024,
    "a name alone": member(b"././@LongLink", b"a" * 200, b"L"),
    "a header of 4 GB": header(b"pax", 2**32, b"x") + b"a" * 1024,
    "a header of digits": member(b"pax", b"1" * 500_000, b"x") + member(b"a.jpg") + END,
    "a record of length 0": member(b"pax", b"0 path=a\n", b"x") + member(b"a.jpg") + END,
    "a negative size in a record": pax((b"size", b"-1024")) + member(b"a.jpg") + END,
    "a size of 10**30 in a record": pax((b"size", b"1" + b"0" * 30)) + member(b"a.jpg") + END,
    "headers of headers": pax((b"path", b"a")) * 3000 + member(b"a.jpg") + END,
    "a sparse map that does not end": _sparse_of_pax(b"999999999999\n"),
    "a sparse map of words": _sparse_of_pax(b"one\ntwo\nthree\n"),
    "a sparse map that was cut": _sparse_of_pax(b"3\n0\n1\n"),
}
ARCHIVES = {"gzip": compressed("gz"), "bzip2": compressed("bz2"), "xz": compressed("xz"), "zip": b"PK\x03\x04" + b"\0" * 600,
            "text": b"no tar at all" * 100, "nothing": b"", "an image": IMAGE}  # fmt: skip
