from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ram.data_engine.grounding_dino import GroundingDinoParams
from ram.data_engine.localize import (
    LOCALIZERS,
    Finder,
    LocaliserParams,
    Rows,
    Sources,
    given_boxes,
)
from ram.io.tables import Table, write_table
from ram.labels import LabelSystem, Tag
from ram.model.build import ModelParams, build_model
from ram.model.ram import RAM
from ram.pipeline.catalog import artifact

GRID = (5, 7)
PARAMS = LocaliserParams(
    kind="attention",
    fallback="whole",
    relevance="alignment",
    min_share=0.3,
    window_sides=(0.3, 0.5),
    grounding_dino=GroundingDinoParams(model="none", min_box_score=0.2, min_tag_score=0.2, short_side=32, batch_size=2),
)
TAGS = LabelSystem([Tag(tag_id=i, name=name, kind="object", frequency=1, sources=("captions",))
                    for i, name in enumerate(["dog", "cat", "ball", "tree"])])  # fmt: skip


@pytest.fixture(scope="module")
def model() -> RAM:
    params = ModelParams(
        image_encoder="resnet10t", image_size=64, token_width=24, width=32, num_heads=4, ffn_ratio=2.0,
        text_alignment=True,
    )  # fmt: skip
    embedding_KE = F.normalize(torch.randn(4, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    return build_model(params, embedding_KE).eval()


@pytest.fixture
def rows() -> Rows:
    spatial = torch.randn(3, GRID[0] * GRID[1], 24, generator=torch.Generator().manual_seed(0))
    tokens = torch.cat([spatial.mean(1, keepdim=True), spatial], dim=1)
    return Rows(["s/0", "s/1", "s/2"], tokens, GRID, torch.tensor([0, 0, 2, 2]), torch.tensor([0, 2, 1, 3]))


def labels(path: Path, boxes: list[tuple[Any, ...]]) -> Table:
    schema = artifact("labels").schema
    assert schema is not None
    names = ("image_id", "name", "x0", "y0", "x1", "y1")
    write_table([{"benchmark": "b", **dict(zip(names, box, strict=True))} for box in boxes], path, schema)
    return Table(path, schema)


@pytest.mark.parametrize("kind", sorted(set(LOCALIZERS) - {"grounding_dino"}))
@torch.inference_mode()
def test_every_localizer_gives_every_row_a_box_within_the_image(kind: str, model: RAM, rows: Rows) -> None:
    boxes = {("s/0", 0): (0.1, 0.2, 0.4, 0.9)}
    finder = Finder(Sources(model, TAGS, None, boxes), dataclasses.replace(PARAMS, kind=kind))
    boxes_R4, found_by_R = finder(rows)
    assert boxes_R4.shape == (4, 4)
    assert ((boxes_R4 >= 0) & (boxes_R4 <= 1)).all()
    assert (boxes_R4[:, 2:] > boxes_R4[:, :2]).all()
    assert set(found_by_R) <= {kind, "whole"}
    assert found_by_R[0] == kind
    none = rows.subset(torch.zeros(0, dtype=torch.long))
    assert finder(none)[0].shape == (0, 4)


@torch.inference_mode()
def test_rows_without_a_given_box_go_to_the_fallback(model: RAM, rows: Rows) -> None:
    boxes = {("s/2", 1): (0.25, 0.5, 0.75, 1.0), ("s/1", 0): (0.0, 0.0, 0.5, 0.5)}
    params = dataclasses.replace(PARAMS, kind="boxes", fallback="grid")
    boxes_R4, found_by_R = Finder(Sources(model, TAGS, None, boxes), params)(rows)
    assert found_by_R.tolist() == ["grid", "grid", "boxes", "grid"]
    assert boxes_R4[2].tolist() == [0.25, 0.5, 0.75, 1.0]
    by_grid = Finder(Sources(model, TAGS, None), dataclasses.replace(params, kind="grid"))(rows)[0]
    torch.testing.assert_close(boxes_R4[[0, 1, 3]], by_grid[[0, 1, 3]])


@torch.inference_mode()
def test_the_alignment_finds_the_cells_that_look_like_the_tag(model: RAM, rows: Rows) -> None:
    assert model.text_alignment is not None
    own_E = model.tag_embedding_KE[2] - model.tag_embedding_KE.mean(0)
    token_D = model.text_alignment.proj.weight.T @ own_E
    tokens = 0.01 * rows.tokens_BND
    tokens[0, 1:].view(*GRID, -1)[1:3, 4:6] += token_D / token_D.norm()
    found, _ = Finder(Sources(model, TAGS, None), PARAMS)(dataclasses.replace(rows, tokens_BND=tokens))
    np.testing.assert_allclose(found[1], [4 / 7, 1 / 5, 6 / 7, 3 / 5], atol=1 / 10 + 1e-6)


@torch.inference_mode()
def test_the_grid_takes_the_window_that_the_model_scores_highest(model: RAM, rows: Rows) -> None:
    params = dataclasses.replace(PARAMS, kind="grid", window_sides=(0.5,))
    even = torch.randn(1, 4, 4, 24, generator=torch.Generator().manual_seed(3))
    tokens = torch.cat([even.mean((1, 2))[:, None], even.flatten(1, 2)], dim=1)
    mine = Rows(["s/0"], tokens, (4, 4), torch.tensor([0, 0]), torch.tensor([0, 3]))
    found, _ = Finder(Sources(model, TAGS, None), params)(mine)
    # Half the side of a map of 4 x 4 cells: windows of 2 x 2 cells, seen cell by cell.
    windows = {(x / 4, y / 4): even[0, y : y + 2, x : x + 2].flatten(0, 1) for y in range(3) for x in range(3)}
    for row, tag in enumerate((0, 3)):
        scores = {
            corner: model.tag_logits(torch.cat([cells.mean(0, keepdim=True), cells])[None])[0, tag].item()
            for corner, cells in windows.items()
        }
        assert tuple(found[row, :2].tolist()) == max(scores, key=lambda corner: scores[corner])


def test_of_several_boxes_of_a_tag_the_largest_is_given_and_names_go_through_the_label_system(tmp_path: Path) -> None:
    table = labels(
        tmp_path / "labels",
        [
            ("s/0", "dog", 0.0, 0.0, 0.2, 0.2), ("s/0", "dogs", 0.5, 0.5, 0.9, 0.9), ("s/0", "dog", 0.1, 0.1, 0.2, 0.2),
            ("s/0", "cat", None, None, None, None), ("s/1", "gizmo", 0.0, 0.0, 1.0, 1.0),
        ],
    )  # fmt: skip
    boxes = given_boxes(table, TAGS)
    assert set(boxes) == {("s/0", 0)}
    np.testing.assert_allclose(boxes["s/0", 0], [0.5, 0.5, 0.9, 0.9], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "dino"}, "unknown localizer 'dino'; known: attention, grid, grounding_dino, boxes, whole"),
        ({"fallback": "boxes"}, "must find a box for every row, boxes does not"),
        ({"relevance": "x"}, "unknown relevance 'x'; known: alignment, occlusion, attention"),
        ({"min_share": 1.0}, "min_share must be above 0 and below 1"),
        ({"window_sides": (0.5, 2.0)}, "window_sides must be one or more shares"),
    ],
)
def test_params_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PARAMS, **change)
