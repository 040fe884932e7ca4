from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import embed_pairs

from ram.data_engine.probe import ProbeParams
from ram.io.tables import Table, as_arrow, write_part
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.runner import PROVIDED
from ram.stages import judge_captions
from ram.stages.judge_captions import Inputs, Outputs, Params, run

PARAMS = Params(seed=0, probe=ProbeParams(num_folds=2, ridge=1.0, prior_weight=5.0), batch_size=5)


@pytest.fixture
def pairs(drawn_workspace: Path) -> pd.DataFrame:
    return read_artifact(artifact("pairs"), drawn_workspace).to_pandas()


@pytest.fixture
def given(drawn_workspace: Path, tmp_path: Path) -> Inputs:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    inputs = {f: read_artifact(artifact(f), drawn_workspace) for f in Inputs._fields if f not in PROVIDED}
    return Inputs(**inputs, scratch=scratch)


def evidence(outputs: Outputs) -> pd.DataFrame:
    return Table(outputs.caption_evidence, artifact("caption_evidence").schema).to_pandas()  # type: ignore[arg-type]


def changed(given: Inputs, pairs: pd.DataFrame, tmp_path: Path) -> Inputs:
    schema = artifact("pairs").schema
    assert schema is not None
    write_part(as_arrow(pairs, schema), tmp_path / "other_pairs", 0, schema)
    (tmp_path / "again").mkdir()
    table = embed_pairs(tmp_path / "other_pairs", tmp_path / "other_embeddings")
    return given._replace(caption_embeddings=table, scratch=tmp_path / "again")


def test_every_caption_of_a_train_image_has_a_row(given: Inputs, pairs: pd.DataFrame) -> None:
    found = evidence(run(given, PARAMS))
    pairs = pairs[pairs["split"] == "train"]
    keys = ["image_id", "caption_index"]
    assert sorted(map(tuple, found[keys].to_numpy())) == sorted(map(tuple, pairs[keys].to_numpy()))
    assert np.isfinite(found["evidence"]).all()


def test_a_foreign_caption_has_less_evidence_than_the_image_s_own(
    given: Inputs, pairs: pd.DataFrame, tmp_path: Path
) -> None:
    plain = evidence(run(given, PARAMS)).set_index("image_id")["evidence"]
    train = pairs.index[pairs["split"] == "train"]
    swapped = pairs.loc[train[:6], "caption"].to_numpy()[::-1]
    pairs.loc[train[:6], "caption"] = swapped
    foreign = evidence(run(changed(given, pairs, tmp_path), PARAMS)).set_index("image_id")["evidence"]
    moved = [
        i
        for i, own, other in zip(pairs.loc[train[:6], "image_id"], swapped[::-1], swapped, strict=True)
        if own != other
    ]
    assert foreign[moved].mean() < plain[moved].mean()


def test_parts_and_batches_change_nothing(
    given: Inputs, pairs: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evidence(run(given, PARAMS))
    monkeypatch.setattr(judge_captions, "_IMAGES_AT_ONCE", 10_000)
    again = evidence(run(changed(given, pairs, tmp_path), PARAMS))
    pd.testing.assert_frame_equal(whole, again)


def test_a_killed_run_goes_on_with_what_is_finished(given: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evidence(run(given, PARAMS))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the summaries were there")

    monkeypatch.setattr(judge_captions, "summary_of", never)
    pd.testing.assert_frame_equal(whole, evidence(run(given, PARAMS)))


def test_without_captions_the_table_is_empty(given: Inputs, pairs: pd.DataFrame, tmp_path: Path) -> None:
    assert evidence(run(changed(given, pairs[pairs["split"] != "train"], tmp_path), PARAMS)).empty
