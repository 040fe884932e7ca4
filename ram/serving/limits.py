"""What a request may ask for, and the refusal of one that asks for more."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Every number is an upper bound; a request above it is refused with the status that is named."""

    max_body_bytes: int = 32 * 2**20  # of one request: 413
    max_image_bytes: int = 16 * 2**20  # of one encoded image: 413
    max_pixels: int = 40_000_000  # of one image, by its header, before it is decoded: 422
    max_images: int = 32  # of one request: 413
    max_tags: int = 100  # custom tags of one request: 422
    max_tag_chars: int = 100  # of one custom tag: 422
    max_explained: int = 32  # tags of one image whose place is told; the best ones
    max_waiting: int = 256  # images in the house, from decoding to the answer: 503
    max_buffered_bytes: int = 256 * 2**20  # of all bodies that are being read or decoded: 503
    max_connections: int = 1024  # open at once: 503
    timeout_s: float = 30.0  # from a whole request to its answer: 503
    header_timeout_s: float = 10.0  # for the head of a request: 408
    body_timeout_s: float = 30.0  # for the body of a request: 408
    send_timeout_s: float = 30.0  # for a client to take what it was sent; then it is cut off

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} must be above 0, got {value}")
        if self.max_images > self.max_waiting:
            raise ValueError(
                f"max_images ({self.max_images}) is more than max_waiting ({self.max_waiting}): no such request "
                "could ever be taken; raise max_waiting"
            )


class Refused(Exception):
    """A request that gets no answer but this: the HTTP status, why, and after how long to come back."""

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After in whole seconds, at least 1; how to authenticate where that is what lacks."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(math.ceil(self.retry_after_s), 1))
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="ram"'
        return headers
