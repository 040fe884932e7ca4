"""cleaned_tags, region_features, verdicts -> review_gallery: a page of rows that people judge, before training on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ram.datasets.image_store import ImageStore
from ram.io.tables import Table, write_text
from ram.labels import LabelSystem
from ram.labels.human_labels import VERDICTS_FILE, read_verdicts
from ram.reports.review.choose import GalleryParams, choose
from ram.reports.review.clusters import find_looks
from ram.reports.review.page import captions_of, gallery


@dataclass(frozen=True, kw_only=True, slots=True)
class Params(GalleryParams):
    seed: int


class Inputs(NamedTuple):
    images: Table
    image_shards: Path
    pairs: Table
    generated_captions: Table
    region_features: Table
    cleaned_tags: Table
    reviews: Path
    label_system: dict[str, Any]
    scratch: Path


class Outputs(NamedTuple):
    review_gallery: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    """A folder with index.html, which loads nothing; verdicts stay in the browser until they are exported."""
    label_system = LabelSystem.from_json(inputs.label_system)
    chosen = choose(inputs.cleaned_tags, len(label_system), params)
    look_N = find_looks(chosen.rows, inputs.region_features, params.num_looks, params.seed)
    page = gallery(
        chosen,
        look_N.tolist(),
        ImageStore(inputs.images, inputs.image_shards),
        captions_of(chosen.rows["image_id"] if len(chosen.rows) else [], inputs.pairs, inputs.generated_captions),
        label_system,
        read_verdicts(inputs.reviews / VERDICTS_FILE),
        params,
    )
    directory = inputs.scratch / "review_gallery"
    write_text(page, directory / "index.html")
    return Outputs(review_gallery=directory)
