"""Who may ask, and how often: bearer keys, of which the file holds hashes alone.

A line a key: its name, `sha256:` and the hash in hex, and if you like `rate=`, images a second.
Keys are 256 random bits, so a plain hash of them cannot be guessed back, as one of a password could.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ram.serving.limits import Refused

BURST_S = 5.0  # what a key has not used of its rate in this time, it may use at once

_LINE = re.compile(r"(?P<name>[\w.-]+)\s+sha256:(?P<hash>[0-9a-f]{64})(?:\s+rate=(?P<rate>[0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True, slots=True)
class Key:
    """A name for the metrics, the hash, and images a second; None: as many as there is room for."""

    name: str
    hash: str
    rate: float | None


class Meter:
    """A bucket of tokens, one an image, filled at the key's rate.

    A request is taken while there is a whole token left, and may overdraw: a batch larger than the bucket is not
    refused for ever, but waited for afterwards.
    """

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self.size = max(rate * BURST_S, 1.0)
        self._tokens, self._filled_s = self.size, now_s

    def check(self, now_s: float) -> None:
        """Raises `Refused` (429) where the key has used up its rate."""
        self._fill(now_s)
        if self._tokens < 1:
            wait_s = (1 - self._tokens) / self.rate
            raise Refused(429, f"this key may send {self.rate:g} images a second", retry_after_s=wait_s)

    def charge(self, num_images: int, now_s: float) -> None:
        """Take the images of one request."""
        self._fill(now_s)
        self._tokens -= num_images

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self._tokens + (now_s - self._filled_s) * self.rate, self.size)
        self._filled_s = now_s


class Keys:
    """The keys of a file, read anew when the file changes: a line that is deleted is a key revoked."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._stamp: tuple[int, int] | None = None
        self._keys: list[Key] = []
        self._meters: dict[str, Meter] = {}
        self._refresh()

    def check(self, authorization: str | None) -> Key:
        """The key of an Authorization header. Raises `Refused`: 401 for none or a wrong one, 429 for too many images."""
        self._refresh()
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Refused(401, "this server wants a key: Authorization: Bearer KEY")
        given = hash_of(secret.strip())
        # All are compared, and in constant time: how long it takes tells nothing of the hashes.
        found = [key for key in self._keys if hmac.compare_digest(key.hash, given)]
        if not found:
            raise Refused(401, "this key is not known here")
        (key, *_) = found
        if meter := self._meters.get(key.hash):
            meter.check(self._clock())
        return key

    def charge(self, key: Key, num_images: int) -> None:
        """Count the images of a request against the rate of its key."""
        if meter := self._meters.get(key.hash):
            meter.charge(num_images, self._clock())

    def _refresh(self) -> None:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return
        self._keys = read_keys(self._path)
        now_s = self._clock()
        old = self._meters
        self._meters = {}
        for key in self._keys:
            if key.rate is not None:
                kept = old.get(key.hash)
                self._meters[key.hash] = kept if kept and kept.rate == key.rate else Meter(key.rate, now_s)
        self._stamp = stamp


def read_keys(path: Path) -> list[Key]:
    """The keys of a file; `ValueError` names the line that is none."""
    keys = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or (match["rate"] and not float(match["rate"]) > 0):
            # The line itself may hold a key in clear by mistake: it is not repeated.
            raise ValueError(
                f"{path}:{number}: a key is `NAME sha256:HASH [rate=IMAGES_PER_SECOND]`; ram serve-key makes one"
            )
        keys.append(Key(match["name"], match["hash"], float(match["rate"]) if match["rate"] else None))
    return keys


def add_key(path: Path, name: str, rate: float | None = None) -> str:
    """Append a new key to the file, which is made where there is none; the key, which nothing can show again."""
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"the name of a key is letters, digits, dots and dashes, got {name!r}")
    if rate is not None and not rate > 0:
        raise ValueError(f"rate must be above 0 images a second, got {rate}")
    if path.is_file() and name in {key.name for key in read_keys(path)}:
        raise ValueError(f"{path} has a key {name!r}; delete its line to revoke it, or take another name")
    secret = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
        file.write(f"{name} sha256:{hash_of(secret)}" + (f" rate={rate:.6f}" if rate else "") + "\n")
    return secret


def hash_of(secret: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
