"""How well the data engine finds where a tag is: each localizer against the true boxes, and what it costs.

python -m benchmarks.localization --workspace DIR     # where the sample recipe ran: data/ with its preliminary model

Rows are the labeled (image, tag) of split train that have boxes and that generated_tags proposes. A find is judged by the
true box of that tag that fits it best. `point`: the peak of the map, or the center of the box, lies in a true box.
`IoU`: mean; `>= 0.5`: share of the rows. `mass`: share of the map above its mean, or of the box's area, that lies in the true
boxes. Intervals are of 95 %, over images. The second table shows what describing the regions costs, given whole images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ram.data_engine.boxes import box_weights
from ram.data_engine.localize import LOCALIZERS, Finder, LocaliserParams, Rows, Sources, given_boxes
from ram.data_engine.regions import RegionEmbedder, RegionParams
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.inference.scorer import Scorer
from ram.model.attribution import RELEVANCES, relevance
from ram.model.checkpoint import load_checkpoint
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import embed_regions

_FINE = 32  # points along each side of an image, at which masks of boxes are compared with maps


@dataclass(frozen=True)
class Task:
    """Rows to find, and where they are."""

    image_ids: list[str]
    image_R: np.ndarray
    tag_R: np.ndarray
    kind_R: np.ndarray
    truth: list[np.ndarray]  # boxes of every row


@dataclass(frozen=True)
class Found:
    """What a method says of all rows, and how long it took for all images."""

    boxes_R4: np.ndarray
    mass_RFF: Tensor  # sums to 1
    point_R2: np.ndarray  # x, y
    seconds: float
    whole_share: float


class Bench:
    """A workspace's model over the rows of its labels."""

    def __init__(self, workspace: Path, num_images: int, batch_size: int) -> None:
        self._read: Callable[[str], Any] = lambda name: read_artifact(artifact(name), workspace)
        self.checkpoint = load_checkpoint(self._read("preliminary_model"))
        self.images = ImageStore(self._read("images"), self._read("image_shards"))
        self.scorer = Scorer(self.checkpoint, self.images, FeatureStore(self._read("image_features")))
        self.batch_size = batch_size
        self.task = self._task(num_images)
        self.batches = list(self._batches())

    def _task(self, num_images: int) -> Task:
        labels, images = self._read("labels").to_pandas(), self._read("images").to_pandas()
        train = set(images.loc[images["split"] == "train", "image_id"])
        proposed = self._read("generated_tags").to_pandas()
        proposed_keys = set(zip(proposed["image_id"], proposed["tag_id"], strict=True))
        truth: dict[str, dict[int, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
        for row in labels[labels["image_id"].isin(train) & labels["x0"].notna()].itertuples():
            tag = self.checkpoint.label_system.find(row.name)
            if tag is not None and (row.image_id, tag.tag_id) in proposed_keys:
                truth[row.image_id][tag.tag_id].append([row.x0, row.y0, row.x1, row.y1])
        ids = np.random.default_rng(0).permutation(sorted(truth))[:num_images].tolist()
        rows = [(i, tag) for i, image_id in enumerate(ids) for tag in sorted(truth[image_id])]
        tags = [tag for _, tag in rows]
        return Task(
            image_ids=ids,
            image_R=np.array([image for image, _ in rows]),
            tag_R=np.array(tags),
            kind_R=np.array([self.checkpoint.label_system[tag].kind for tag in tags]),
            truth=[np.array(truth[ids[image]][tag]) for image, tag in rows],
        )

    def _batches(self) -> Iterator[Rows]:
        start = 0
        for ids, tokens_BND, grid in self.scorer.tokens(self.task.image_ids, self.batch_size):
            first, last = np.searchsorted(self.task.image_R, [start, start + len(ids)])
            image_R = torch.as_tensor(self.task.image_R[first:last] - start)
            yield Rows(ids, tokens_BND, grid, image_R, torch.as_tensor(self.task.tag_R[first:last]))
            start += len(ids)

    def localizer(self, params: LocaliserParams) -> Found:
        """Boxes of a localizer; with the map of `attention`, its peak and its mass."""
        labels = self._read("labels")
        boxes = given_boxes(labels, self.checkpoint.label_system) if params.kind == "boxes" else None
        sources = Sources(self.scorer.model, self.checkpoint.label_system, self.images, boxes)
        finder = Finder(sources, params)
        with torch.inference_mode():
            start = time.perf_counter()
            results = [finder(rows) for rows in self.batches]
            seconds = time.perf_counter() - start
            found = _of_boxes(torch.cat([b for b, _ in results]).numpy(), seconds)
            whole = np.concatenate([f for _, f in results]) == "whole"
            found = dataclasses.replace(found, whole_share=float(whole.mean()))
            return self._with_map(found, params.relevance) if params.kind == "attention" else found

    def _with_map(self, found: Found, kind: str) -> Found:
        map_RHW = torch.cat(
            [relevance(kind, self.scorer.model, r.tokens_BND, r.image_R, r.tag_R, r.grid) for r in self.batches]
        )
        H, W = map_RHW.shape[1:]
        peak = map_RHW.flatten(1).argmax(1)
        point_R2 = torch.stack([(peak % W + 0.5) / W, (peak // W + 0.5) / H], dim=1).numpy()
        above = (map_RHW - map_RHW.mean((1, 2), keepdim=True)).clamp_min(0)
        fine = torch.nn.functional.interpolate(above[:, None], (_FINE, _FINE), mode="nearest")[:, 0]
        return dataclasses.replace(found, mass_RFF=fine / fine.sum((1, 2), keepdim=True), point_R2=point_R2)

    def center(self, side: float) -> Found:
        box = np.array([[0.5 - side / 2, 0.5 - side / 2, 0.5 + side / 2, 0.5 + side / 2]])
        return _of_boxes(box.repeat(len(self.task.tag_R), axis=0).astype(np.float32), 0.0)

    def view(self, params: RegionParams, localizer: LocaliserParams) -> float:
        """Images a second that are described; their tokens are there already, crops are read and encoded."""
        sources = Sources(self.scorer.model, self.checkpoint.label_system, self.images)
        embedder = RegionEmbedder(self.scorer, Finder(sources, localizer), params, self.batch_size)
        few = self.task.image_R < min(len(self.task.image_ids), 100)  # a crop takes as long as an image
        ids = self.task.image_ids[: self.task.image_R[few].max() + 1]
        start = time.perf_counter()
        for _ in embedder.run(ids, self.task.image_R[few], self.task.tag_R[few]):
            pass
        return len(ids) / (time.perf_counter() - start)


def _of_boxes(boxes_R4: np.ndarray, seconds: float) -> Found:
    mass_RFF = box_weights(torch.from_numpy(boxes_R4), _FINE, _FINE)
    point_R2 = (boxes_R4[:, :2] + boxes_R4[:, 2:]) / 2
    return Found(boxes_R4, mass_RFF, point_R2, seconds, whole_share=0.0)


def figures(found: Found, truth: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Figures of every row, each in 0 … 1."""
    best_iou = np.array([iou(box, boxes).max() for box, boxes in zip(found.boxes_R4, truth, strict=True)])
    points = zip(found.point_R2, truth, strict=True)
    hit = np.array([((p >= boxes[:, :2]) & (p <= boxes[:, 2:])).all(1).any() for p, boxes in points])
    masks_RFF = torch.stack([_mask(boxes) for boxes in truth])
    mass = (found.mass_RFF * masks_RFF).sum((1, 2)).numpy()
    return {"point": hit, "IoU": best_iou, ">= 0.5": best_iou >= 0.5, "mass": mass}


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with each of `boxes`."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = sides.clip(0).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared)


def _mask(boxes: np.ndarray) -> Tensor:
    """Points of a fine grid that lie in any of the boxes."""
    points = (np.arange(_FINE) + 0.5) / _FINE
    inside = [((points >= b[i]) & (points < b[i + 2])) for b in boxes for i in (0, 1)]
    return torch.from_numpy(np.any([y[:, None] & x for x, y in zip(inside[::2], inside[1::2], strict=True)], axis=0))


def interval(value_R: np.ndarray, image_R: np.ndarray, num_resamples: int = 500) -> float:
    """Half the width of the 95 % interval of the mean, images drawn anew."""
    sums, counts = np.bincount(image_R, value_R), np.bincount(image_R)
    draws = np.random.default_rng(0).integers(len(sums), size=(num_resamples, len(sums)))
    low, high = np.quantile(sums[draws].sum(1) / counts[draws].sum(1), [0.025, 0.975])
    return float(high - low) / 2


def methods(bench: Bench, params: LocaliserParams, detector: str | None) -> Iterator[tuple[str, Found]]:
    """Every localizer with its name; `detector` is a Grounding-DINO, tried where one is given."""
    yield "center box, side 0.5", bench.center(0.5)
    yield "whole", bench.localizer(dataclasses.replace(params, kind="whole"))
    for kind in RELEVANCES:
        if kind != "alignment" or bench.checkpoint.model.text_alignment is not None:
            yield (
                f"attention: {kind}",
                bench.localizer(dataclasses.replace(params, kind="attention", relevance=kind)),
            )
    yield "grid", bench.localizer(dataclasses.replace(params, kind="grid"))
    if detector:
        with_model = dataclasses.replace(params.grounding_dino, model=detector)
        chosen = dataclasses.replace(params, kind="grounding_dino", grounding_dino=with_model)
        yield "grounding_dino", bench.localizer(chosen)
    for kind in LOCALIZERS:  # and any that was added
        if kind not in ("whole", "attention", "grid", "grounding_dino"):
            yield kind, bench.localizer(dataclasses.replace(params, kind=kind))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path(), help="folder with params.yaml and data/")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="whose embed_regions is measured")
    parser.add_argument("--num-images", type=int, default=400)
    parser.add_argument("--grounding-dino", help="hub id or folder; left out where not given")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    params = stage_params(load_yaml(options.params), "embed_regions", embed_regions.Params)
    bench = Bench(options.workspace, options.num_images, params.batch_size)
    task = bench.task
    print(f"{len(task.tag_R)} rows of {len(task.image_ids)} images, maps of {bench.batches[0].grid}\n")
    print(
        "| localizer | point | IoU | IoU >= 0.5 | IoU of objects | mass | whole image | images/s |\n" + "|---" * 8 + "|"
    )
    summary: dict[str, Any] = {}
    for name, found in methods(bench, params.localizer, options.grounding_dino):
        rows = figures(found, task.truth)
        cells = [f"{rows[f].mean():.3f} ± {interval(rows[f], task.image_R):.3f}" for f in ("point", "IoU", ">= 0.5")]
        cells += [f"{rows['IoU'][task.kind_R == 'object'].mean():.3f}", f"{rows['mass'].mean():.3f}"]
        speed = f"{len(task.image_ids) / found.seconds:.0f}" if found.seconds else ""
        print(f"| {name} | {' | '.join(cells)} | {found.whole_share:.3f} | {speed} |", flush=True)
        summary[name] = {figure: float(values.mean()) for figure, values in rows.items()}
    print("\n| region view | images/s |\n|---|---|")
    whole = dataclasses.replace(params.localizer, kind="whole")
    for view in ("tokens", "roi_align", "crop"):
        speed = f"{bench.view(dataclasses.replace(params.region, view=view), whole):.1f}"
        print(f"| {view} | {speed} |", flush=True)
    print("\n" + json.dumps(summary))


if __name__ == "__main__":
    main()
