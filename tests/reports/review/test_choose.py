from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ram.io.tables import Table, as_arrow, write_part
from ram.pipeline.catalog import artifact
from ram.reports.review.choose import GalleryParams, choose

PARAMS = GalleryParams(
    num_tags=3, rows_per_tag=8, sampled_share=0.5, num_looks=1, context=0.5, thumbnail_size=32, image_size=0
)
NUM_TAGS = 5


def table(root: Path, num_rows: int = 2000, num_parts: int = 1) -> tuple[Table, pd.DataFrame]:
    rng = np.random.default_rng(1)
    wrong = rng.random(num_rows).astype(np.float32)
    tag = rng.integers(NUM_TAGS, size=num_rows)
    wrong[tag == 4] *= 0.02  # hardly any mistake to expect in this tag
    rows = pd.DataFrame(
        {
            "image_id": [f"i/{i // 4:04}" for i in range(num_rows)], "tag_id": tag.astype(np.int32), "origin": "predicted",
            "score": 0.5, "detector": "hdbscan", "wrong_probability": wrong, "kept": wrong < 0.5,
        }
    ).drop_duplicates(["image_id", "tag_id"])  # fmt: skip
    rows["reason"] = np.where(rows["kept"], None, "contrary_prediction")
    schema = artifact("cleaned_tags").schema
    assert schema is not None
    full = rows.assign(**{c.name: np.float32(0.5) for c in schema if c.name not in rows})
    for part, own in enumerate(np.array_split(np.arange(len(full)), num_parts)):
        write_part(as_arrow(full.iloc[own], schema), root, part, schema)
    return Table(root, schema), rows


def test_the_likeliest_mistakes_of_each_tag_and_side_are_chosen(tmp_path: Path) -> None:
    cleaned, rows = table(tmp_path)
    chosen = choose(cleaned, NUM_TAGS, PARAMS)
    rows["mistake"] = np.where(rows["kept"], rows["wrong_probability"], 1 - rows["wrong_probability"])
    expected = rows.groupby("tag_id")["mistake"].sum().sort_values(ascending=False)
    assert chosen.tags.index.tolist() == expected.index[:3].tolist()
    assert 4 not in chosen.tags.index
    for (tag, kept), own in chosen.rows.groupby(["tag_id", "kept"]):
        best = rows[(rows["tag_id"] == tag) & (rows["kept"] == kept)].nlargest(2, "mistake")
        assert set(best["image_id"]) <= set(own["image_id"])
        assert own["sampled"].sum() == 2
        assert len(own) <= 4


def test_the_choice_does_not_depend_on_how_the_table_is_cut(tmp_path: Path) -> None:
    one, _ = table(tmp_path / "one")
    many, _ = table(tmp_path / "many", num_parts=9)
    keys = ["tag_id", "image_id"]
    chosen = [choose(t, NUM_TAGS, PARAMS).rows.sort_values(keys).reset_index(drop=True) for t in (one, many)]
    pd.testing.assert_frame_equal(*chosen)


def test_the_drawn_rows_are_a_fair_sample(tmp_path: Path) -> None:
    cleaned, rows = table(tmp_path, num_rows=20_000)
    params = GalleryParams(
        num_tags=5, rows_per_tag=400, sampled_share=1.0, num_looks=1, context=0.0, thumbnail_size=32, image_size=0
    )
    drawn = choose(cleaned, NUM_TAGS, params).rows
    for tag in range(4):
        kept = drawn[(drawn["tag_id"] == tag) & drawn["kept"]]
        every = rows[(rows["tag_id"] == tag) & rows["kept"]]["wrong_probability"]
        error = every.std() / np.sqrt(len(kept))
        assert abs(kept["wrong_probability"].mean() - every.mean()) < 4 * error


def test_rows_that_people_judged_are_no_likely_mistakes(tmp_path: Path) -> None:
    cleaned, _ = table(tmp_path)
    judged = cleaned.to_pandas().assign(origin="human", kept=True, reason=None)
    write_part(as_arrow(judged, cleaned.schema), tmp_path, 0, cleaned.schema)
    assert (choose(cleaned, NUM_TAGS, PARAMS).tags["mistakes"] == 0).all()


def test_an_empty_table_gives_nothing(tmp_path: Path) -> None:
    cleaned, _ = table(tmp_path, num_rows=0)
    chosen = choose(cleaned, NUM_TAGS, PARAMS)
    assert chosen.rows.empty
    assert chosen.tags.empty


@pytest.mark.parametrize("parameter", ["num_tags", "rows_per_tag", "num_looks", "thumbnail_size"])
def test_params_without_meaning_are_refused(parameter: str) -> None:
    parameters = {"num_tags": 1, "rows_per_tag": 2, "num_looks": 1, "thumbnail_size": 32, parameter: 0}
    with pytest.raises(ValueError, match=f"{parameter} must be at least"):
        GalleryParams(**parameters, sampled_share=0.5, context=0.0, image_size=0)
