"""New shards are dropped into a source's folder: what the next run does is in proportion to them, not to all data."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tars import write_tar

from ram.datasets.image_store import ImageStore
from ram.io.tables import Table
from ram.pipeline.catalog import artifact
from ram.stages import parse_captions, run_stage

ROOT = Path(__file__).resolve().parents[2]
NUM_IN_SHARD = 6
STAGES = ("list_sources", "ingest_pairs", "check_tables@pairs", "parse_captions", "embed_images")


def _add_shard(folder: Path, number: int) -> None:
    """A tar of images of noise, two captions each."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(number)
    members = {}
    for index in range(NUM_IN_SHARD):
        image = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(image, "PNG")
        captions = [f"a red dog on shelf {number}", f"a cat beside box {index} of {number}"]
        members[f"{number}-{index}.png"] = image.getvalue()
        members[f"{number}-{index}.json"] = json.dumps({"captions": captions}).encode()
    write_tar(folder / f"{number:03}.tar", members)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    sections = yaml.safe_load((ROOT / "recipes" / "sample.yaml").read_text())
    sources = [
        {"name": name, "kind": "webdataset", "split": "train", "path": str(tmp_path / name / "*.tar")}
        for name in ("first", "second")
    ]
    sections["list_sources"]["sources"] = sources
    sections["ingest_pairs"] |= {"images_per_shard": NUM_IN_SHARD, "max_hash_distance": None}
    sections["check_tables"]["pairs"] |= {"min_rows": 1, "max_share_of_one_caption": 1.0}
    sections["model"] |= {"image_encoder": "resnet10t", "pretrained": None, "image_size": 32, "num_frozen_blocks": 2}
    sections["embed_images"] |= {"num_views": 2, "precision": "fp32"}
    sections["engine"] = {"kind": "local", "num_workers": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    for name, number in (("first", 0), ("first", 1), ("second", 10), ("second", 11)):
        _add_shard(tmp_path / name, number)
    return tmp_path


class Work:
    """Counts captions parsed and images opened to be embedded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.captions: list[str] = []
        self.images: set[str] = set()
        parse, open_image = parse_captions.parse_captions, ImageStore.open

        def counted_parse(captions: Sequence[str], *others: Any) -> Any:
            self.captions += captions
            return parse(captions, *others)

        def counted_open(store: ImageStore, image_id: str, min_size: int | None = None) -> Image.Image:
            self.images.add(image_id)
            return open_image(store, image_id, min_size)

        monkeypatch.setattr(parse_captions, "parse_captions", counted_parse)
        monkeypatch.setattr(ImageStore, "open", counted_open)

    def of_a_run(self, workspace: Path) -> tuple[int, set[str]]:
        self.captions.clear()
        self.images.clear()
        for stage in STAGES:
            run_stage(stage, workspace / "params.yaml", workspace)
        return len(self.captions), set(self.images)


def _phrases(workspace: Path) -> list[dict[str, Any]]:
    entry = artifact("caption_phrases")
    assert entry.schema is not None
    return Table(workspace / entry.path, entry.schema).read().to_pylist()


@pytest.mark.slow
def test_a_new_shard_costs_its_own_size_and_the_result_is_that_of_a_run_over_everything(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(monkeypatch)
    captions, images = work.of_a_run(workspace)
    assert (captions, len(images)) == (4 * NUM_IN_SHARD * 2, 4 * NUM_IN_SHARD)
    assert work.of_a_run(workspace) == (0, set())

    _add_shard(workspace / "first", 2)  # its images come before those of the second source
    captions, images = work.of_a_run(workspace)
    assert captions == NUM_IN_SHARD * 2
    assert images == {f"first/2-{index}" for index in range(NUM_IN_SHARD)}

    found = _phrases(workspace)
    shutil.rmtree(workspace / "data")
    captions, _ = work.of_a_run(workspace)
    assert captions == 5 * NUM_IN_SHARD * 2
    assert _phrases(workspace) == found
