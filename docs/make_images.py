"""Makes the images of docs/data_engine.md from a workspace in which the cleaning has run, such as that of `make run`.

python -m docs.make_images
python -m docs.make_images --workspace WORKSPACE --tag balloon
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ram.datasets.image_store import ImageStore
from ram.labels import LabelSystem
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.reports.review.clusters import NONE, find_looks

OUT = Path(__file__).parent / "images"
NUM_LOOKS, SEED = 3, 1
TILE, GAP, MARGIN, TEXT = 92, 8, 12, 15  # pixels
NUM_TILES, NUM_LIVES = 8, 4
COLORS = 128  # of the palette: the images are part of the repository
INK, FAINT, KEPT, ADDED, REMOVED = "#1f2328", "#6b7280", "#15803d", "#1d4ed8", "#b91c1c"

Line = list[tuple[str, str]]  # pieces of text with their colors


class Workspace:
    """What the images are made of."""

    def __init__(self, root: Path) -> None:
        def read(name: str) -> Any:
            return read_artifact(artifact(name), root)

        self.labels = LabelSystem.from_json(read("label_system"))
        self.store = ImageStore(read("images"), root / artifact("image_shards").path)
        self.rows: pd.DataFrame = read("cleaned_tags").to_pandas()
        self.regions = read("region_features")
        self.captions = read("pairs").to_pandas(["image_id", "caption"]).groupby("image_id")["caption"].agg(list)

    def tag_to_show(self) -> str:
        """The thing of which most rows went, as far as there are rows of it that stayed."""
        things = [tag.tag_id for tag in self.labels if tag.kind == "object"]
        own = self.rows[self.rows["tag_id"].isin(things)].groupby("tag_id")["kept"]
        counts = pd.DataFrame({"kept": own.sum(), "removed": own.size() - own.sum()}).min(axis=1)
        return self.labels[int(counts.index.to_numpy()[counts.to_numpy().argmax()])].name

    def of_tag(self, name: str) -> pd.DataFrame:
        """Its rows, the likeliest to be right first."""
        tag = self.labels.find(name)
        if tag is None:
            raise ValueError(f"no tag {name!r} in this workspace; `ram labels show` lists some")
        rows = self.rows[self.rows["tag_id"] == tag.tag_id]
        return rows.sort_values(["wrong_probability", "image_id"], ignore_index=True)

    def region(self, row: Any) -> Image.Image:
        """The region of a row with a rim around it, as a tile."""
        image = self.store.open(row.image_id).convert("RGB")
        sides = [
            (low * n, high * n) for low, high, n in zip((row.x0, row.y0), (row.x1, row.y1), image.size, strict=True)
        ]
        length = min(1.3 * max(8, *(high - low for low, high in sides)), *image.size)
        corner = [
            min(max((low + high - length) / 2, 0), n - length) for (low, high), n in zip(sides, image.size, strict=True)
        ]
        box = tuple(round(value) for value in (*corner, corner[0] + length, corner[1] + length))
        return image.crop(box).resize((TILE, TILE))


def montage(groups: Sequence[tuple[str, str, list[Image.Image], list[str]]]) -> Image.Image:
    """Rows of tiles, each under a title of its color, with a line of small text under every tile."""
    width = 2 * MARGIN + NUM_TILES * (TILE + GAP) - GAP
    height_of_group = TEXT + 8 + TILE + TEXT + 14
    page = Image.new("RGB", (width, 2 * MARGIN + height_of_group * len(groups) - 14), "white")
    draw, font, small = ImageDraw.Draw(page), ImageFont.load_default(TEXT), ImageFont.load_default(11)
    for number, (title, color, tiles, notes) in enumerate(groups):
        top = MARGIN + number * height_of_group
        draw.text((MARGIN, top), title, fill=color, font=font)
        for place, (tile, note) in enumerate(zip(tiles, notes, strict=True)):
            x, y = MARGIN + place * (TILE + GAP), top + TEXT + 8
            page.paste(tile, (x, y))
            draw.rectangle((x - 1, y - 1, x + TILE, y + TILE), outline=color, width=2)
            draw.text((x, y + TILE + 3), note, fill=FAINT, font=small)
    return page


def of_a_tag(workspace: Workspace, name: str) -> Image.Image:
    """Rows of one tag that stayed, and rows that went, by their reasons; the surest of each first."""
    rows = workspace.of_tag(name)
    groups = [(f"“{name}”: kept", KEPT, rows[rows["kept"]])]
    for reason in sorted(rows.loc[~rows["kept"], "reason"].unique()):
        groups.append((f"removed: {reason.replace('_', ' ')}", REMOVED, rows[rows["reason"] == reason][::-1]))
    return montage([(f"{title} ({len(own)})", color, *_tiles(workspace, own)) for title, color, own in groups])


def of_looks(workspace: Workspace, name: str) -> Image.Image:
    """What a tag looks like: its groups of regions that are alike, and the most outlying regions."""
    rows = workspace.of_tag(name)
    look_N = find_looks(rows, workspace.regions, NUM_LOOKS, SEED)
    groups = []
    for look in sorted(set(look_N.tolist()) - {NONE}):
        own = rows[(look_N == look)].sort_values(["outlier_score", "image_id"])
        groups.append((f"“{name}”: look {look + 1} ({len(own)} regions)", ADDED, *_tiles(workspace, own)))
    outlying = rows.sort_values(["outlier_score", "image_id"], ascending=False)
    return montage([*groups, ("the most outlying regions", REMOVED, *_tiles(workspace, outlying))])


def _tiles(workspace: Workspace, rows: pd.DataFrame) -> tuple[list[Image.Image], list[str]]:
    shown: list[Any] = list(rows.head(NUM_TILES).itertuples())
    notes = [f"{row.origin[:9]} {row.wrong_probability:.2f}" for row in shown]
    return [workspace.region(row) for row in shown], notes


def of_lives(workspace: Workspace) -> Image.Image:
    """What became of single images: their captions, and their tags as captions gave them, generated, and removed."""
    counts = workspace.rows.groupby("image_id").agg(n=("kept", "size"), removed=("kept", lambda kept: (~kept).sum()))
    counts["added"] = workspace.rows[workspace.rows["origin"] != "caption"].groupby("image_id").size()
    typical = counts[(counts["removed"] > 0) & (counts["added"] > 0)].sort_index()
    image_ids = np.random.default_rng(SEED).permutation(typical.index.to_numpy())[:NUM_LIVES]
    side, width = 130, 720
    page = Image.new("RGB", (width, 2 * MARGIN + len(image_ids) * (side + GAP)), "white")
    for number, image_id in enumerate(image_ids):
        top = MARGIN + number * (side + GAP)
        image = workspace.store.open(image_id).convert("RGB")
        scale = side / max(image.size)
        page.paste(image.resize((round(image.width * scale), round(image.height * scale))), (MARGIN, top))
        _write(page, (2 * MARGIN + side, top), list(_life(workspace, image_id)))
    return page


def _life(workspace: Workspace, image_id: str) -> Iterator[Line]:
    rows = workspace.rows[workspace.rows["image_id"] == image_id].sort_values(["origin", "tag_id"])
    for caption in workspace.captions.get(image_id, []):
        yield [(f"“{caption}”", INK)]
    said = rows["origin"] == "caption"
    for title, own in (("captions say", rows[said]), ("generated", rows[~said])):
        pieces: Line = [(f"{title}: ", FAINT)]
        for tag_id, kept in zip(own["tag_id"], own["kept"], strict=True):
            pieces.append((f"{workspace.labels[tag_id].name}  ", KEPT if kept else REMOVED))
        yield pieces


def _write(page: Image.Image, at: tuple[int, int], lines: Sequence[Line]) -> None:
    """Lines of colored pieces, wrapped at the right edge."""
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    y = at[1]
    for line in lines:
        x = at[0]
        for text, color in ((word + " ", color) for piece, color in line for word in piece.split(" ")):
            length = round(draw.textlength(text, font=font))
            if x + length > page.width - MARGIN:
                x, y = at[0] + 16, y + 19
            draw.text((x, y), text, fill=color, font=font)
            if color == REMOVED and text.strip():
                draw.line((x, y + 10, x + draw.textlength(text.strip(), font=font), y + 10), fill=color)
            x += length
        y += 24


def make(root: Path, out: Path, tag: str | None = None) -> list[Path]:
    """Write the images into `out`; where they are."""
    workspace = Workspace(root)
    name = tag or workspace.tag_to_show()
    images = {"lives": of_lives(workspace), "looks": of_looks(workspace, name), "fates": of_a_tag(workspace, name)}
    out.mkdir(exist_ok=True, parents=True)
    paths = []
    for title, image in images.items():
        paths.append(out / f"{title}.png")
        image.quantize(COLORS).save(paths[-1], optimize=True)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path())
    parser.add_argument("--tag", help="left out: the thing of which most rows stayed and most went")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    for path in make(arguments.workspace, arguments.out, arguments.tag):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
