"""The page in a browser, as a person uses it: with the pointer, with the keyboard, in light and dark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

from ram.serving.models import Models, ServedModel
from ram.serving.server import ServerParams, create_app

pytest.importorskip("websockets", reason="the browser is driven over a websocket: pip install websockets")
pytestmark = pytest.mark.skipif(browser.EXECUTABLE is None, reason="there is no chromium on this machine")

_CARD = "document.querySelector('.card[aria-label=\"{name}\"]')"


@pytest.fixture
def page(
    write_checkpoint: Callable[..., Path],
    make_image: Callable[..., bytes],
    listen: Callable[..., Any],
    tmp_path: Path,
) -> Iterator[browser.Page]:
    """The page of a server of two models that call a tag <b>cat</b>; red.png and broken.png lie beside it."""
    (tmp_path / "red.png").write_bytes(make_image("red", (120, 90)))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    folders = {name: write_checkpoint(tmp_path / name, seed) for seed, name in enumerate(("champion", "challenger"))}
    models = Models({name: (lambda f=folder: f) for name, folder in folders.items()}, ServedModel)
    models.load()
    with (
        listen(create_app(models, ServerParams(refresh_s=0.0))) as port,
        browser.browse(tmp_path / "profile") as page,
    ):
        page.call("Emulation.setDeviceMetricsOverride", width=1200, height=900, deviceScaleFactor=1, mobile=False)
        page.open(f"http://127.0.0.1:{port}/")
        page.wait("document.querySelectorAll('.model').length === 2")
        yield page
        assert all(url.startswith((f"http://127.0.0.1:{port}/", "blob:", "about:")) for url in page.requested)
        assert [text for text in page.console if "422" not in text] == []


def _chips(page: browser.Page, name: str) -> dict[str, float]:
    """Names and scores as the card shows them."""
    card = _CARD.format(name=name)
    texts = "(c => ['.name', '.score'].map(part => c.querySelector(part).textContent))"
    rows = page.run(f"[...{card}.querySelectorAll('.chip')].map{texts}")
    return {tag: float(score) for tag, score in rows}


def _wait_for_card(page: browser.Page, name: str) -> None:
    page.wait(f"{_CARD.format(name=name)}?.getAttribute('aria-busy') === 'false'")


def _set_threshold(page: browser.Page, value: float) -> None:
    page.run(
        f"{{const t = document.getElementById('threshold'); t.value = {value}; t.dispatchEvent(new Event('input'));}}"
    )


def test_a_person_tags_images(page: browser.Page, tmp_path: Path) -> None:
    page.choose_files("#files", [tmp_path / "red.png", tmp_path / "broken.png"])
    for name in ("red.png", "broken.png"):
        _wait_for_card(page, name)

    # A broken file says why, beside the others, and in words for those who do not see it.
    broken = _CARD.format(name="broken.png")
    assert page.run(f"{broken}.classList.contains('failed')")
    assert "not a readable image" in page.run(f"{broken}.querySelector('.note').textContent")
    page.wait("document.getElementById('status').textContent === '1 tagged; 1 could not be.'")

    # The slider shows more or fewer without a question to the server.
    _set_threshold(page, 0)
    every = _chips(page, "red.png")
    assert set(every) == {"dog", "<b>cat</b>"}
    asked = len(page.requested)
    least, most = sorted(every.values())
    assert least < most
    _set_threshold(page, (least + most) / 2)
    assert list(_chips(page, "red.png").values()) == [most]
    _set_threshold(page, 1)
    assert _chips(page, "red.png") == {}
    page.run("1")
    assert len(page.requested) == asked
    page.run("document.getElementById('own-threshold').click()")
    assert "dog" in _chips(page, "red.png"), "its own threshold is 0"

    # Tags that look like markup are text, wherever they stand.
    page.run("document.getElementById('tag').focus()")
    page.type("<img src=x onerror=document.title='hacked'>, red hat")
    page.press("Enter", 13)
    page.wait("document.querySelectorAll('#own-tags li').length === 2")
    _set_threshold(page, 0)
    page.wait("document.querySelectorAll('.chip[data-kind=own]').length === 2")
    assert {"<img src=x onerror=document.title='hacked'>", "red hat", "<b>cat</b>"} <= set(_chips(page, "red.png"))
    assert page.run("document.title") == "RAM tagger"
    assert page.run("document.querySelectorAll('.chip img, .chip b, .own-tags img').length") == 0

    # Copied is what is shown.
    page.run(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}})"
    )
    page.run("document.getElementById('copy-all').click()")
    (row,) = json.loads(page.wait("window.copied"))
    assert (row["image"], row["model"]) == ("red.png", "champion")
    assert {tag["name"]: round(tag["score"], 2) for tag in row["tags"]} == pytest.approx(_chips(page, "red.png"))

    # What is taken away is gone.
    page.run("document.querySelector('#own-tags button').click()")
    assert "<img src=x onerror=document.title='hacked'>" not in _chips(page, "red.png")
    page.run(f"{broken}.querySelector('button[aria-label^=Remove]').click()")
    assert page.run("document.querySelectorAll('.card').length") == 1


def test_a_tag_is_shown_in_the_image_to_the_pointer_and_to_the_keyboard(page: browser.Page, tmp_path: Path) -> None:
    page.choose_files("#files", [tmp_path / "red.png"])
    _wait_for_card(page, "red.png")
    _set_threshold(page, 0)
    page.move_to(".chip")
    page.wait("!document.querySelector('.glow').hidden && document.querySelector('.glow').width > 0")
    page.move_to("h1")
    page.wait("document.querySelector('.glow').hidden")

    page.run("document.querySelector('.chip').focus()")
    page.wait("!document.querySelector('.frame-of-tag').hidden")
    first = page.wait("document.getElementById('status').textContent.match(/^(.+) is (in|at|all) /)?.[1]")
    assert first == page.run("document.activeElement.dataset.tag")
    page.press("ArrowRight", 39)
    second = page.run("document.activeElement.dataset.tag")
    assert second != first
    page.wait(f"document.getElementById('status').textContent.startsWith({json.dumps(second + ' is ')})")
    assert page.run("[...document.querySelectorAll('.chip')].filter(c => c.tabIndex === 0).length") == 1
    page.press("Home", 36)
    assert page.run("document.activeElement.dataset.tag") == first


def test_champion_and_challenger_stand_side_by_side(page: browser.Page, tmp_path: Path) -> None:
    page.choose_files("#files", [tmp_path / "red.png"])
    _wait_for_card(page, "red.png")
    page.run("document.getElementById('compare').click()")
    page.wait("document.querySelectorAll('.lists.two .list').length === 2")
    _set_threshold(page, 0)
    texts = "(c => [c.dataset.tag, c.querySelector('.score').textContent])"
    rows = page.run(f"[...document.querySelectorAll('.list')].map(l => [...l.querySelectorAll('.chip')].map{texts})")
    assert page.run("document.querySelectorAll('.chip.only').length") == 0
    champion, challenger = ({tag: float(score) for tag, score in scores} for scores in rows)
    tag = max(champion, key=lambda name: abs(champion[name] - challenger[name]))
    assert abs(champion[tag] - challenger[tag]) > 0.015, "the models differ"
    _set_threshold(page, round((champion[tag] + challenger[tag]) / 2, 2))
    marked = page.run("[...document.querySelectorAll('.chip.only')].map(c => [c.dataset.tag, c.dataset.model])")
    assert [tag, "champion" if champion[tag] > challenger[tag] else "challenger"] in marked
    assert all(len([m for name, m in marked if name == other]) <= 1 for other in champion)


def test_every_control_can_be_reached_and_has_a_name(page: browser.Page, tmp_path: Path) -> None:
    page.choose_files("#files", [tmp_path / "red.png"])
    _wait_for_card(page, "red.png")
    _set_threshold(page, 0)
    names = {node["role"]["value"]: [] for node in page.call("Accessibility.getFullAXTree")["nodes"] if "role" in node}
    for node in page.call("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value")
        if role in ("button", "textbox", "slider", "checkbox", "toolbar", "image", "article", "main"):
            names[role].append(node.get("name", {}).get("value", ""))
    for role, found in names.items():
        if role in ("button", "textbox", "slider", "checkbox", "toolbar", "article", "main"):
            assert all(found), (role, found)
    assert "Image red.png" in names["image"]
    reached = []
    page.run("document.activeElement.blur(); document.body.focus()")
    for _ in range(25):
        page.press("Tab", 9)
        reached.append(page.run("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "files", "tag", "threshold", "own-threshold", "compare", "copy-all", "chip"} <= set(reached)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_from_their_ground_in_light_and_dark(page: browser.Page, theme: str) -> None:
    page.run(f"document.documentElement.dataset.theme = '{theme}'")
    pairs = page.run(
        """(() => {
          const style = getComputedStyle(document.documentElement);
          const color = (name) => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((h) => parseInt(h, 16));
          return [['--ink', '--card'], ['--ink', '--paper'], ['--soft', '--card'], ['--soft', '--paper'],
            ['--accent', '--card'], ['--accent-ink', '--accent'], ['--own', '--card'], ['--bad', '--bad-paper']]
            .map(([a, b]) => [a, b, color(a), color(b)]);
        })()"""
    )
    assert len(pairs) == 8
    for ink, ground, a, b in pairs:
        light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, ink, ground)  # WCAG 2.2, 1.4.3


def _luminance(color: list[int]) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
