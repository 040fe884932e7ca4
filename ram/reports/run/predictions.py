"""What the finished model says of test images, beside what people said."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ram.datasets.image_store import ImageStore
from ram.evaluation.benchmarks import load_benchmarks
from ram.inference.tagger import Tagger, Thresholds
from ram.io.tables import Table
from ram.model.checkpoint import load_checkpoint
from ram.reports.run.examples import thumbnail


def predictions(
    model_dir: Path,
    thresholds: Mapping[str, Any],
    images: Table,
    store: ImageStore,
    labels: Table,
    benchmarks: Mapping[str, Mapping[str, Any]],
    num: int,
    thumbnail_size: int,
    num_tags: int = 12,
) -> list[dict[str, Any]]:
    """{"image_id", "benchmark", "image", "tags": [{"name", "score", "truth"}], "missed": [names]} a test image.

    `truth` is "right" or "wrong" for a tag that the benchmark labels, "unlabeled" for any other. Images are chosen
    by a hash of their names.
    """
    chosen = [
        (benchmark, row)
        for benchmark in load_benchmarks(benchmarks, images, labels, "test")
        for row in sorted(range(len(benchmark.image_ids)), key=lambda n: zlib.crc32(benchmark.image_ids[n].encode()))[
            :num
        ]
    ][:num]
    if not chosen:
        return []
    tagger = Tagger(load_checkpoint(model_dir), Thresholds.from_json(thresholds))
    opened = [store.open(benchmark.image_ids[row]) for benchmark, row in chosen]
    found = []
    for (benchmark, row), image, scored in zip(chosen, opened, tagger(opened, top_k=num_tags), strict=True):
        labeled = {
            tag.name: bool(positive)
            for name, positive in zip(benchmark.names, benchmark.positive_NK[row], strict=True)
            if (tag := tagger.label_system.find(name)) is not None
        }
        truth: dict[bool | None, str] = {True: "right", False: "wrong", None: "unlabeled"}
        tags = [{"name": t.name, "score": t.score, "truth": truth[labeled.get(t.name)]} for t in scored]
        said = {t.name for t in scored}
        found.append(
            {
                "image_id": benchmark.image_ids[row],
                "benchmark": benchmark.name,
                "image": thumbnail(image, thumbnail_size),
                "tags": tags,
                "missed": [name for name, positive in labeled.items() if positive and name not in said],
            }
        )
    return found
