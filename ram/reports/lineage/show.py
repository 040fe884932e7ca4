"""A life as lines of text, and as an image with the region's box."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ram.reports.lineage.lineage import Life
from ram.reports.run.page import ORIGIN_TITLES, REASON_TITLES

_WIDTH = 640  # pixels of the image that is written, at least
_MARGIN, _FONT_SIZE = 12, 16


def describe(life: Life) -> list[str]:
    """Lines for a terminal, the label of each in its first column."""
    image, tag = life.image, life.tag
    also = f", also {', '.join(tag['synonyms'])}" if tag["synonyms"] else ""
    lines = [
        f"{tag['name']} on {image['image_id']}: {fate(life)}",
        _line("tag", f"{tag['tag_id']}, {tag['kind']}{also}"),
        _line(
            "image",
            f"{image['width']} x {image['height']}, split {image['split']}, {image['shard']}/{image['member']}",
        ),
    ]
    lines += [_line(f"caption {c['caption_index']}", f"{c['caption']!r}{_named(c)}") for c in life.captions]
    if life.generated_caption is not None:
        lines.append(_line("generated", f"{life.generated_caption['caption']!r}{_named(life.generated_caption)}"))
    lines += _engine(life)
    if life.verdict is not None:
        lines.append(_line("person", f"{life.verdict['verdict']} ({life.verdict['where']})"))
    lines += [_line(f"not by {w['step']}", w["reason"]) for w in life.why_not]
    lines += [_line("trained on", _trained(t)) for t in life.training]
    return lines


def fate(life: Life) -> str:
    """What became of the row, in a few words."""
    row = life.cleaned
    if row is None:
        found = life.generated or life.parsed
        return f"from {ORIGIN_TITLES[found['origin']]}, not cleaned" if found else "there is no such row"
    origin = ORIGIN_TITLES[row["origin"]]
    if life.generated is not None and life.generated["origin"] != row["origin"]:
        origin = f"{origin}, before that {ORIGIN_TITLES[life.generated['origin']]}"
    ending = "kept" if row["kept"] else f"removed: {REASON_TITLES.get(row['reason'], row['reason'])}"
    return f"{ending} (from {origin}; wrong with probability {row['wrong_probability']:.2f})"


def _engine(life: Life) -> list[str]:
    lines = []
    if life.parsed is not None:
        lines.append(_line("parsed", f"origin {life.parsed['origin']}, captions {life.parsed['caption_indices']}"))
    if life.generated is not None:
        g = life.generated
        lines.append(
            _line("generation", f"origin {g['origin']}, image score {g['image_score']:.3f}, model {g['model_version']}")
        )
    if life.threshold is not None:
        t = life.threshold
        lines.append(
            _line(
                "threshold",
                f"{t['threshold']:.3f} by {t['basis']}, precision {t['estimated_precision']:.2f} to expect of what is added",
            )
        )
    if life.box is not None:
        lines.append(_line("region", "x {0:.2f} to {2:.2f}, y {1:.2f} to {3:.2f} of the image".format(*life.box)))
    if life.cleaned is not None:
        names = ("score", "image_score", "region_score", "held_out_evidence", "outlier_score", "wrong_probability")
        facts = [f"{n.replace('_', ' ')} {_number(life.cleaned[n])}" for n in names]
        lines.append(_line("evidence", ", ".join(facts)))
    return lines


def _named(caption: Mapping[str, Any]) -> str:
    if caption.get("skipped"):
        return f"  skipped: {caption['skipped']}"
    found = [n["phrase"] if n["how"] == "named" else f"{n['phrase']} ({n['how']})" for n in caption.get("naming") or ()]
    return f"  <- {', '.join(found)}" if found else ""


def _trained(step: Mapping[str, Any]) -> str:
    if not step["target"]:
        return f"{step['model']}: a negative"
    return f"{step['model']}: a positive, target {step['target']:.2f}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _line(label: str, text: str) -> str:
    return f"  {label:<26}{text}"


def image_of(image: Image.Image, life: Life) -> Image.Image:
    """The image, enlarged where it is small, with the region's box and the row's fate and captions under it."""
    scale = max(_WIDTH / image.width, 1)
    shown = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
    font = ImageFont.load_default(_FONT_SIZE)
    lines = _wrapped([f"{life.tag['name']}: {fate(life)}", *(f"“{c['caption']}”" for c in life.captions)], shown.width)
    height = 2 * _MARGIN + len(lines) * (_FONT_SIZE + 5)
    page = Image.new("RGB", (shown.width, shown.height + height), "white")
    page.paste(shown)
    draw = ImageDraw.Draw(page)
    if life.box is not None:
        x0, y0, x1, y1 = life.box
        corners = (x0 * shown.width, y0 * shown.height, x1 * shown.width - 1, y1 * shown.height - 1)
        kept = life.cleaned is None or life.cleaned["kept"]
        draw.rectangle(corners, outline="#38bdf8" if kept else "#f43f5e", width=4)
    for i, line in enumerate(lines):
        draw.text((_MARGIN, shown.height + _MARGIN + i * (_FONT_SIZE + 5)), line, fill="black", font=font)
    return page


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    letters = max(int((width - 2 * _MARGIN) / (0.52 * _FONT_SIZE)), 20)
    return [line for text in texts for line in textwrap.wrap(text, letters)]
