from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from ram.io.tables import Table
from ram.pipeline.catalog import artifact
from ram.training.examples import Examples, examples_from_labels, examples_from_tags

ALL = np.ones(6, bool)


def labels_by_id(examples: Examples) -> dict[str, dict[int, float]]:
    ids = examples.image_ids.take(range(len(examples)))
    found: dict[str, dict[int, float]] = {image_id: {} for image_id in ids}
    place, columns = examples.labels.gather(np.arange(len(examples)))
    for i, tag, target in zip(place, columns["tag_id"], columns["target"], strict=True):
        found[ids[i]][int(tag)] = float(target)
    return found


def test_images_of_split_train_have_the_labels_of_the_table(tables: SimpleNamespace, examples: Examples) -> None:
    rows = tables.parsed_tags.to_pandas(["image_id", "tag_id"])
    expected = {i: dict.fromkeys(group, 1.0) for i, group in rows.groupby("image_id")["tag_id"]}
    assert labels_by_id(examples) == expected
    counts = np.bincount(rows["tag_id"], minlength=6)
    assert examples.num_positives().tolist() == counts.tolist()


def test_images_without_a_tag_are_left_out_and_counted(examples: Examples) -> None:
    assert len(examples) == 20
    assert examples.num_left_out == 2


def test_captions_belong_to_their_image(examples: Examples) -> None:
    ids = examples.image_ids.take(range(len(examples)))
    place, columns = examples.captions.gather(np.arange(len(examples)))
    texts = examples.caption_texts.take(columns["text"])
    assert texts == [f"caption {c} of {ids[i]}" for i, c in zip(place, columns["index"], strict=True)]
    assert len(texts) == 40


def test_a_tag_that_may_not_be_trained_is_no_label(tables: SimpleNamespace, tmp_path: Path) -> None:
    known = ALL.copy()
    known[[0, 3]] = False
    got = examples_from_tags(tmp_path / "some", tables.images, tables.pairs, tables.parsed_tags, known)
    assert not {0, 3} & {tag for tags in labels_by_id(got).values() for tag in tags}


def test_removed_rows_are_no_labels_unless_every_row_is_a_target_of_its_probability(
    tables: SimpleNamespace, write: Callable[..., Table], tmp_path: Path
) -> None:
    def row(tag: int, origin: str, score: float, kept: bool, wrong: float) -> dict[str, Any]:
        box = {"x0": None, "y0": None, "x1": None, "y1": None}
        # Whatever else the table tells of a row is nothing that training reads.
        evidence = {f.name: 0.0 for f in artifact("cleaned_tags").schema or () if f.type == pa.float32()}
        scores = {**evidence, "score": score, "outlier_score": None, "image_score": 0.5, "region_score": 0.5}
        fate = {"kept": kept, "reason": None if kept else "cluster_outlier", "wrong_probability": wrong}
        return {"image_id": "web/1", "tag_id": tag, "origin": origin, **scores, **fate, **box}

    rows = [row(0, "caption", 1.0, True, 0.25), row(1, "predicted", 0.75, True, 0.375)]
    rows += [row(2, "predicted", 0.9, False, 0.875), row(3, "caption", 1.0, False, 1.0)]
    cleaned = write("cleaned_tags", rows)
    for target, expected in (("hard", 1.0), ("score", 0.75)):
        got = examples_from_tags(tmp_path / target, tables.images, tables.pairs, cleaned, ALL, predicted_target=target)
        assert labels_by_id(got) == {"web/1": {0: 1.0, 1: expected}}
    got = examples_from_tags(tmp_path / "p", tables.images, tables.pairs, cleaned, ALL, predicted_target="probability")
    assert labels_by_id(got) == {"web/1": {0: 0.75, 1: 0.625, 2: 0.125}}  # 3 cannot be right
    assert got.num_positives()[:4].tolist() == [1, 1, 0, 0]


def test_human_labels_are_known_over_their_names_alone_and_images_without_any_stay(
    tables: SimpleNamespace, tmp_path: Path
) -> None:
    got = examples_from_labels(
        tmp_path / "human", tables.images, tables.labels, {"coco"}, "finetune", {"dog": 0, "cat": 1}, 6
    )
    assert got.known_K.tolist() == [True, True, False, False, False, False]
    assert labels_by_id(got) == {f"coco/{i}": {} if i % 2 else {0: 1.0} for i in range(6)}


def test_examples_that_were_written_are_found_again(examples: Examples, tables: SimpleNamespace) -> None:
    directory = examples.image_ids.directory.parent
    written = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    again = examples_from_tags(directory, tables.images, tables.pairs, tables.parsed_tags, ALL)
    assert labels_by_id(again) == labels_by_id(examples)
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == written
