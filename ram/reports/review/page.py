"""The chosen rows, arranged for the template, and the page made of them."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import pandas as pd
from PIL import Image

from ram.datasets.image_store import ImageStore
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.labels.human_labels import Verdict
from ram.pipeline.catalog import ORIGINS, REASONS
from ram.reports.review.choose import Chosen, GalleryParams
from ram.reports.run.page import make_environment

OUTLYING = 0.5  # rows with a higher outlier score are marked
_MAX_UPSCALING = 4
_LEAST_SIDE = 0.4  # of the image's shorter side that is shown around the smallest region
_FACTS = ("score", "image_score", "region_score", "held_out_evidence", "outlier_score", "wrong_probability")
_SIDES = ("x0", "y0", "x1", "y1")

Box = tuple[float, float, float, float]


def region_image(image: Image.Image, box: Box | None, context: float, size: int) -> tuple[str, Box | None]:
    """A JPEG (data URI) of the region and its surroundings, square where the image is wide and high enough; the box
    in it as x, y, width, height in per cent."""
    width, height = image.size
    left, top, right, bottom = box or (0.0, 0.0, 1.0, 1.0)
    side = max(
        (1 + 2 * context) * max((right - left) * width, (bottom - top) * height), _LEAST_SIDE * min(width, height)
    )
    x0, x1 = _span((left + right) / 2 * width, side, width)
    y0, y1 = _span((top + bottom) / 2 * height, side, height)
    uri = jpeg(image.crop((x0, y0, x1, y1)), size)
    if box is None:
        return uri, None
    x, y = 100 * (left * width - x0) / (x1 - x0), 100 * (top * height - y0) / (y1 - y0)
    return uri, (x, y, 100 * (right - left) * width / (x1 - x0), 100 * (bottom - top) * height / (y1 - y0))


def _span(center: float, side: float, limit: int) -> tuple[int, int]:
    """Whole pixels of a span of about `side` inside 0 … `limit`: moved inside rather than cut."""
    length = min(max(round(side), 1), limit)
    start = min(max(round(center - length / 2), 0), limit - length)
    return start, start + length


def jpeg(image: Image.Image, size: int) -> str:
    """A JPEG whose longer side has `size` pixels, or fewer where the image is very small, as a data URI."""
    scale = min(size / max(image.size), _MAX_UPSCALING)
    shape = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    stream = io.BytesIO()
    image.convert("RGB").resize(shape, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def captions_of(image_ids: Iterable[str], pairs: Table, generated: Table) -> dict[str, dict[str, Any]]:
    """{image_id: {"captions", "generated_caption"}} of a few images."""
    wanted = [("image_id", "in", sorted(set(image_ids)))]
    given = pairs.to_pandas(["image_id", "caption_index", "caption"], wanted).sort_values("caption_index")
    written = generated.to_pandas(["image_id", "caption"], wanted)
    own = given.groupby("image_id")["caption"].apply(list)
    by_model = dict(zip(written["image_id"], written["caption"], strict=True))
    return {i: {"captions": own.get(i, []), "generated_caption": by_model.get(i)} for i in wanted[0][2]}


def gallery(
    chosen: Chosen,
    look_N: Sequence[int],
    store: ImageStore,
    captions: Mapping[str, Mapping[str, Any]],
    label_system: LabelSystem,
    verdicts: Sequence[Verdict],
    params: GalleryParams,
) -> str:
    """The page: a section a tag, in it a line a look with the kept and the removed rows side by side."""
    rows = chosen.rows.assign(look=look_N).sort_values("mistake", ascending=False, kind="stable")
    records = [_record(row, label_system, captions) for row in rows.to_dict("records")]
    sections = []
    for tag_id, num_kept, num_removed, mistakes in chosen.tags.itertuples():
        own = [i for i, row in enumerate(records) if row["tag_id"] == tag_id]
        looks = sorted({records[i]["look"] for i in own}, key=lambda look: (look < 0, look))
        lines = [
            {
                "look": look,
                "kept": [i for i in own if records[i]["look"] == look and records[i]["kept"]],
                "removed": [i for i in own if records[i]["look"] == look and not records[i]["kept"]],
            }
            for look in looks
        ]
        counts = {"num_kept": num_kept, "num_removed": num_removed, "mistakes": mistakes}
        sections.append({"tag": label_system[tag_id], "lines": lines, **counts})
    regions, wholes = _images(records, store, params)
    return _render(records, regions, wholes, sections, _given(verdicts, label_system))


def _images(
    records: Sequence[Mapping[str, Any]], store: ImageStore, params: GalleryParams
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The region of every row, and every image once as a whole: only that shows whether a tag is right."""
    rows_of: dict[str, list[int]] = {}
    for i, row in enumerate(records):
        rows_of.setdefault(row["image_id"], []).append(i)
    regions: list[dict[str, Any]] = [{} for _ in records]
    wholes = {}
    for image_id in store.in_shard_order(list(rows_of)):
        image = store.open(image_id)
        for i in rows_of[image_id]:
            uri, inside = region_image(image, records[i]["box"], params.context, params.thumbnail_size)
            regions[i] = {"uri": uri, "box": inside}
        if params.image_size:
            wholes[image_id] = jpeg(image, params.image_size)
    return regions, wholes


def _record(
    row: Mapping[Any, Any], label_system: LabelSystem, captions: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    facts = {name: None if pd.isna(row[name]) else round(float(row[name]), 4) for name in _FACTS}
    return {
        "image_id": row["image_id"],
        "tag": label_system[int(row["tag_id"])].name,
        "tag_id": int(row["tag_id"]),
        "origin": row["origin"],
        "kept": bool(row["kept"]),
        "reason": row["reason"] if isinstance(row["reason"], str) else None,
        "sampled": bool(row["sampled"]),
        "outlying": (facts["outlier_score"] or 0) > OUTLYING,
        "look": int(row["look"]),
        "box": None if any(pd.isna(row[side]) for side in _SIDES) else tuple(float(row[side]) for side in _SIDES),
        **facts,
        **captions[row["image_id"]],
    }


def _given(verdicts: Sequence[Verdict], label_system: LabelSystem) -> list[dict[str, str]]:
    """The verdicts that the file has already: what the page exports replaces it, and must lose none."""
    given = []
    for verdict in verdicts:
        tag = label_system.find(verdict.tag)
        name = verdict.tag if tag is None else tag.name
        given.append({"image_id": verdict.image_id, "tag": name, "verdict": verdict.verdict})
    return given


def _render(
    records: list[dict[str, Any]],
    regions: list[dict[str, Any]],
    wholes: dict[str, str],
    sections: list[dict[str, Any]],
    given: list[Any],
) -> str:
    folder = resources.files("ram.reports.review")
    script = folder.joinpath("gallery.js").read_text(encoding="utf-8")
    style = resources.files("ram.reports.run").joinpath("style.css").read_text(encoding="utf-8")
    # Only this very script may run, whatever the data holds; nothing may be loaded.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = make_environment().from_string(folder.joinpath("gallery.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        records=records,
        regions=regions,
        wholes=wholes,
        sections=sections,
        given=given,
        origins=[o for o in ORIGINS if any(row["origin"] == o for row in records)],
        reasons=[r for r in REASONS if any(row["reason"] == r for row in records)],
        style=style + folder.joinpath("gallery.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=digest,
    )
