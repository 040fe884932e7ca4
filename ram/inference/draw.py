"""An image with the boxes of its tags, to look at."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from ram.inference.results import ImageTags

_SIDE = 960  # pixels of the longer side that is drawn
_COLORS = ("#0284c7", "#dc2626", "#16a34a", "#9333ea", "#ea580c", "#0d9488", "#db2777", "#4d7c0f")
_FONT_SIZE, _MARGIN = 16, 8


def boxed(image: Image.Image, tags: ImageTags) -> Image.Image:
    """The image with a box and a name a tag, and under it all tags with their scores, and the caption if there is one."""
    scale = _SIDE / max(image.size)
    shown = image.convert("RGB").resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    lines = [f"{tag.score:.2f}  {tag.name}" + ("" if tag.box else "  (no place stands out)") for tag in tags]
    lines = ([f"“{tags.caption}”"] if tags.caption else []) + (lines or ["no tag"])
    font = ImageFont.load_default(_FONT_SIZE)
    page = Image.new("RGB", (shown.width, shown.height + 2 * _MARGIN + len(lines) * (_FONT_SIZE + 4)), "white")
    page.paste(shown)
    draw = ImageDraw.Draw(page)
    for i, tag in reversed(list(enumerate(tags))):  # the surest on top
        if tag.box is not None:
            color = _COLORS[i % len(_COLORS)]
            x0, y0, x1, y1 = (round(v * side) for v, side in zip(tag.box, shown.size * 2, strict=True))
            draw.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=color, width=3)
            left, top, right, bottom = draw.textbbox((x0 + 4, y0 + 3), tag.name, font=font)
            draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=color)
            draw.text((x0 + 4, y0 + 3), tag.name, fill="white", font=font)
    for i, line in enumerate(lines):
        draw.text((_MARGIN, shown.height + _MARGIN + i * (_FONT_SIZE + 4)), line, fill="black", font=font)
    return page
