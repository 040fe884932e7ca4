"""The page's files: nothing from elsewhere, no markup made of texts. What it does is tested in test_browser.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ram.serving import page

FILES = sorted(path for path in Path(page.__file__).parent.iterdir() if path.suffix in page._TYPES)


@pytest.fixture
def client(make_app: Callable[..., Any]) -> Any:
    with TestClient(make_app()) as client:
        yield client


def test_every_file_is_served_as_what_it_is(client: Any) -> None:
    assert {path.name for path in FILES} == set(page._FILES.values())
    for address, name in page._FILES.items():
        answer = client.get(address)
        assert answer.content == (Path(page.__file__).parent / name).read_bytes()
        assert answer.headers["content-type"].startswith(page._TYPES[Path(name).suffix])


def test_a_browser_is_told_to_load_and_run_nothing_else(client: Any) -> None:
    for address in (*page._FILES, "/v1/labels", "/nothing"):
        headers = client.get(address).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_another_server(path: Path) -> None:
    text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".js"], ids=lambda path: path.name)
def test_no_script_makes_markup_of_a_text(path: Path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser", path.read_text()
    )


def test_what_a_person_fills_in_or_presses_has_a_name() -> None:
    text = (Path(page.__file__).parent / "index.html").read_text()
    for control in re.findall(r"<(?:input|textarea)\b[^>]*>", text):
        identifier = re.search(r'id="([^"]+)"', control)[1]
        named = (
            f'for="{identifier}"' in text
            or "aria-label" in control
            or re.search(rf"<label[^>]*>{re.escape(control)}", text)
        )
        assert named, control
    for button in re.findall(r"<button\b[^>]*>([^<]*)</button>", text):
        assert button.strip()
    assert '<html lang="en">' in text
    assert 'aria-live="polite"' in text
