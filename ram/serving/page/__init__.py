"""The web page: a few files of this folder, each at a fixed address, nothing from elsewhere and nothing by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Response

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {
    "/": "index.html",
    "/page/style.css": "style.css",
    "/page/main.js": "main.js",
    "/page/cards.js": "cards.js",
    "/page/place.js": "place.js",
    "/page/api.js": "api.js",
    "/page/icon.svg": "icon.svg",
}


def add_page(app: FastAPI) -> None:
    """Give `app` the addresses of the page."""
    for address, name in _FILES.items():
        app.add_api_route(address, _sender(Path(__file__).parent / name), methods=["GET"], include_in_schema=False)


def _sender(path: Path) -> Callable[[], Response]:
    data, kind = path.read_bytes(), _TYPES[path.suffix]

    def send() -> Response:
        return Response(data, media_type=f"{kind}; charset=utf-8")

    return send
