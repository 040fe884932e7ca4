"""A checkpoint and a labeled table -> the same model with thresholds and calibration of these labels."""

# B images, K tags of the table

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ram.evaluation.fitting import ThresholdParams, fit_thresholds, halves
from ram.evaluation.thresholds import TagScores
from ram.finetuning.labels import Prepared, require_negatives, with_images, write_quarantine
from ram.finetuning.table import read_table, resolve, trimmed
from ram.inference.tagger import THRESHOLDS_FILE, Tagger, Thresholds, load
from ram.io.progress import track
from ram.io.tables import move_into_place, write_json, write_text
from ram.labels import LabelSystem
from ram.model.checkpoint import LABELS, complete_label_system

TAGS_FILE = "calibration.csv"


@dataclass(frozen=True)
class Result:
    """What came of it. `tags` has tag, kind, new, num_positives, num_negatives, threshold_before and threshold.

    `held_out` has precision, recall and F1 of all labels together, with the thresholds of before and with those fitted
    on the other half of the images.
    """

    directory: Path
    document: dict[str, Any]
    tags: pd.DataFrame
    quarantine: pd.DataFrame
    quarantine_path: Path
    num_images: int
    held_out: dict[str, dict[str, float]]


def calibrate_model(
    table: Path,
    images: Path | None,
    model: str,
    out: Path,
    params: ThresholdParams,
    *,
    complete: bool = False,
    batch_size: int = 32,
) -> Result:
    """Write the checkpoint `out`, in one piece; the one of `model` stays as it is.

    `images` is the folder that paths are relative to; None: the table's. Tags that the table does not name keep the
    threshold that they have of their own, or else get that of their kind. `ValueError` where no label can be used, none
    is a positive of a tag that the model was trained on, all are positives, or `out` is there already.
    """
    if out.exists():
        raise ValueError(f"{out} is there already; name another folder with --out, or remove it")
    tagger, quarantine = load(model), out.with_name(f"{out.name}.quarantine.csv")
    prepared = _prepare(table, images or table.parent, tagger.label_system, quarantine, complete)
    scored = _scored(prepared, tagger, images or table.parent, batch_size)
    trained, untrained = _by_training(scored, tagger)
    if not any(tag.num_positives for tag in trained):
        raise ValueError(
            f"no row of {table} is a positive of a tag that the model was trained on; thresholds need some"
        )
    document = fit_thresholds(trained, untrained, params)
    document["tags"] = _of_all_tags(document, tagger) | document["tags"]
    result = Result(
        directory=out,
        document=document,
        tags=_tags(trained, untrained, document, tagger),
        quarantine=prepared.labels.quarantine,
        quarantine_path=quarantine,
        num_images=len(prepared.hash_of),
        held_out=_held_out(trained, tagger.thresholds, tagger.label_system, params),
    )
    _write(result, tagger.checkpoint.directory)
    return result


def _prepare(table: Path, images: Path, start: LabelSystem, quarantine: Path, complete: bool) -> Prepared:
    labels = resolve(read_table(table), start)
    if not complete:
        require_negatives(labels, table, "of those alone no precision can be told")
    labels, hash_of = with_images(labels, images)
    write_quarantine(labels, table, quarantine)
    return Prepared(trimmed(labels, start), hash_of, complete)


def _scored(prepared: Prepared, tagger: Tagger, root: Path, batch_size: int) -> list[TagScores]:
    """The scores of every tag of the table in the images for which it is known; those of new names by their text."""
    image_ids = sorted(prepared.hash_of)
    tags = [prepared.labels.label_system[tag_id] for tag_id in prepared.tag_ids]
    starts = range(0, len(image_ids), batch_size)
    scores_BK = np.concatenate(
        [
            tagger.scores([root / image_id for image_id in image_ids[i : i + batch_size]], [tag.name for tag in tags])
            for i in track(starts, "scoring", unit="batch")
        ]
    )
    positive_BK, known_BK = prepared.truth(image_ids)
    return [
        TagScores(tag.name, tag.kind, scores_BK[known, k], positive_BK[known, k], np.flatnonzero(known))
        for k, (tag, known) in enumerate(zip(tags, known_BK.T, strict=True))
    ]


def _by_training(scored: Sequence[TagScores], tagger: Tagger) -> tuple[list[TagScores], list[TagScores]]:
    """Tags that the model was trained on, and others: new names, and tags that were held out of its training."""
    own = {tag.name for tag in tagger.label_system} - set(tagger.checkpoint.extra.get("held_out_names", ()))
    return [tag for tag in scored if tag.name in own], [tag for tag in scored if tag.name not in own]


def _of_all_tags(document: Mapping[str, Any], tagger: Tagger) -> dict[str, float]:
    kept, kinds = tagger.thresholds.tags or {}, document["kinds"]
    return {tag.name: kept.get(tag.name, kinds.get(tag.kind, document["default"])) for tag in tagger.label_system}


def _tags(
    trained: Sequence[TagScores], untrained: Sequence[TagScores], document: Mapping[str, Any], tagger: Tagger
) -> pd.DataFrame:
    new = {tag.name for tag in untrained}
    rows = [
        {
            "tag": tag.name,
            "kind": tag.kind,
            "new": tag.name in new,
            "num_positives": tag.num_positives,
            "num_negatives": len(tag.positive) - tag.num_positives,
            "threshold_before": tagger.thresholds.of(tagger.label_system.find(tag.name)),
            "threshold": document["tags"][tag.name],
        }
        for tag in (*trained, *untrained)
    ]
    return pd.DataFrame(rows)


def _held_out(
    trained: Sequence[TagScores], before: Thresholds, label_system: LabelSystem, params: ThresholdParams
) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 before and after; none where a half of the images has no positive to fit to."""
    old = {tag.name: before.of(label_system.find(tag.name)) for tag in trained}
    num_images = 1 + max(int(tag.images.max(initial=0)) for tag in trained)
    said: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"before": [], "after": []}
    for fitted_on, judged_by in halves(np.arange(num_images)):
        first, second = _of_images(trained, fitted_on), _of_images(trained, judged_by)
        if not any(tag.num_positives for tag in first):
            return {}
        said["before"].append(_said(second, old))
        said["after"].append(_said(second, fit_thresholds(first, [], params)["tags"]))
    return {when: _quality(*map(np.concatenate, zip(*sides, strict=True))) for when, sides in said.items() if sides}


def _of_images(tags: Sequence[TagScores], images: np.ndarray) -> list[TagScores]:
    found = []
    for tag in tags:
        kept = images[tag.images]
        found.append(TagScores(tag.name, tag.kind, tag.scores[kept], tag.positive[kept], tag.images[kept]))
    return found


def _said(tags: Sequence[TagScores], limits: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each label's tag is said, and whether it is there."""
    said = np.concatenate([tag.scores >= limits[tag.name] for tag in tags])
    return said, np.concatenate([tag.positive for tag in tags])


def _quality(said: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    hits = float((said & positive).sum())
    precision, recall = hits / max(said.sum(), 1), hits / max(positive.sum(), 1)
    f1 = 2 * hits / max(said.sum() + positive.sum(), 1)
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def _write(result: Result, start: Path) -> None:
    partial = result.directory.with_name(f".{result.directory.name}.unfinished")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    shutil.copytree(start, partial)
    write_json(result.document, partial / THRESHOLDS_FILE)
    write_json(complete_label_system(partial, result.document).to_json(), partial / LABELS)
    write_text(result.tags.to_csv(index=False), partial / TAGS_FILE)
    move_into_place(partial, result.directory)
