"""The runner, over two small stages made here and put where the real ones are looked up."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pytest

from ram import stages
from ram.io.tables import PartMap, Table, content_hash, write_json, write_table
from ram.pipeline import runner
from ram.pipeline.catalog import artifact

PAIRS = artifact("pairs").schema
PHRASES = artifact("caption_phrases").schema
SKIPPED = artifact("skipped_captions").schema
CALLS: list[str] = []
FAIL_AT: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class Params:
    suffix: str


class Inputs(NamedTuple):
    pairs: Table
    pairs_check: dict[str, Any]


class Outputs(NamedTuple):
    caption_phrases: Any
    skipped_captions: Any


def _first_words(part: Path) -> tuple[pa.Table, pa.Table]:
    CALLS.append(part.name)
    if part.name in FAIL_AT:
        raise OSError("killed")
    rows = Table(part.parent, PAIRS)
    frame = rows.to_pandas()[[p.name == part.name for p in rows.part_paths].index(True) :][:1]
    phrases = frame.assign(phrase=frame["caption"].str.split().str[0], kind="object")
    return pa.Table.from_pandas(phrases[PHRASES.names], schema=PHRASES), SKIPPED.empty_table()


def _run(inputs: Inputs, params: Params) -> Outputs:
    work = PartMap(_first_words, inputs.pairs.part_paths)
    return Outputs(caption_phrases=work.output(0), skipped_captions=work.output(1))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = types.ModuleType("ram.stages.toy")
    module.__dict__.update(Params=Params, Inputs=Inputs, Outputs=Outputs, run=_run)
    monkeypatch.setitem(sys.modules, "ram.stages.toy", module)
    monkeypatch.setattr(stages, "stage_names", lambda: ["toy"])
    CALLS.clear()
    FAIL_AT.clear()
    for index, caption in enumerate(["cat here", "dog there", "bird"]):
        row = [{"image_id": f"s/{index}", "split": "train", "caption_index": 0, "caption": caption}]
        write_table(row, tmp_path / "one", PAIRS)
        target = tmp_path / "data" / "pairs" / f"part-{index:05d}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / "part-00000.parquet").replace(target)
    write_json({"passed": True, "failures": [], "table": "pairs"}, tmp_path / "reports/checks/pairs.json")
    (tmp_path / "params.yaml").write_text("toy: {suffix: x}\nengine: {num_workers: 1}\n")
    return tmp_path


def _run_toy(workspace: Path) -> pd.DataFrame:
    stages.run_stage("toy", workspace / "params.yaml", workspace)
    return Table(workspace / "data" / "caption_phrases", PHRASES).to_pandas()


def test_a_stage_gets_its_inputs_and_its_outputs_land_where_the_catalog_says(workspace: Path) -> None:
    assert _run_toy(workspace)["phrase"].tolist() == ["cat", "dog", "bird"]
    assert Table(workspace / "data" / "skipped_captions", SKIPPED).num_rows == 0
    assert list((workspace / "data/.partial/toy").iterdir()) == []


def test_a_killed_run_goes_on_from_the_parts_it_had_finished(workspace: Path) -> None:
    FAIL_AT.add("part-00002.parquet")
    with pytest.raises(OSError, match="killed"):
        _run_toy(workspace)
    assert not (workspace / "data" / "caption_phrases").exists()
    FAIL_AT.clear()
    CALLS.clear()
    assert len(_run_toy(workspace)) == 3
    assert CALLS == ["part-00002.parquet"]


def test_work_left_over_from_other_params_is_not_taken_up(workspace: Path) -> None:
    FAIL_AT.add("part-00002.parquet")
    with pytest.raises(OSError, match="killed"):
        _run_toy(workspace)
    (workspace / "params.yaml").write_text("toy: {suffix: y}\nengine: {num_workers: 1}\n")
    FAIL_AT.clear()
    CALLS.clear()
    _run_toy(workspace)
    assert len(CALLS) == 3


def _add_part(workspace: Path, index: int, caption: str) -> None:
    row = [{"image_id": f"new/{index}", "split": "train", "caption_index": 0, "caption": caption}]
    write_table(row, workspace / "one", PAIRS)
    (workspace / "one" / "part-00000.parquet").replace(workspace / f"data/pairs/part-{index:05d}.parquet")


def test_parts_of_the_same_content_are_not_made_again_by_the_next_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(inputs: Inputs, params: Params) -> Outputs:
        paths = inputs.pairs.part_paths
        work = PartMap(_first_words, paths, keys=[content_hash(path) for path in paths])
        return Outputs(caption_phrases=work.output(0), skipped_captions=work.output(1))

    monkeypatch.setattr(sys.modules["ram.stages.toy"], "run", run)
    assert _run_toy(workspace)["phrase"].tolist() == ["cat", "dog", "bird"]
    assert len(CALLS) == 3
    CALLS.clear()
    _add_part(workspace, 3, "fish")
    _add_part(workspace, 1, "dogs there")
    assert _run_toy(workspace)["phrase"].tolist() == ["cat", "dogs", "bird", "fish"]
    assert sorted(CALLS) == ["part-00001.parquet", "part-00003.parquet"]
    CALLS.clear()
    (workspace / "data/pairs/part-00000.parquet").unlink()  # all parts move up by one
    assert _run_toy(workspace)["phrase"].tolist() == ["dogs", "bird", "fish"]
    assert CALLS == []
    (workspace / "params.yaml").write_text("toy: {suffix: y}\nengine: {num_workers: 1}\n")
    _run_toy(workspace)
    assert len(CALLS) == 3


def test_a_stage_does_not_start_on_a_table_that_failed_its_check(workspace: Path) -> None:
    failed = {"passed": False, "failures": ["3 captions are empty"], "table": "pairs"}
    write_json(failed, workspace / "reports/checks/pairs.json")
    with pytest.raises(ValueError, match="failed its check:\n  - 3 captions are empty"):
        _run_toy(workspace)
    assert CALLS == []


def test_missing_inputs_and_unknown_names_say_what_to_do(workspace: Path) -> None:
    with pytest.raises(ValueError, match="unknown stage 'toi'; known: toy"):
        stages.stage_call("toi")
    with pytest.raises(ValueError, match="is not one of: toy"):
        stages.stage_call("toy@pairs")
    (workspace / "reports/checks/pairs.json").unlink()
    with pytest.raises(ValueError, match="run the stage that makes it"):
        _run_toy(workspace)


@pytest.mark.parametrize("shared", [False, True])
def test_of_several_processes_the_first_alone_writes_and_the_others_run_what_they_share(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    ran: list[str] = []
    module = sys.modules["ram.stages.toy"]
    monkeypatch.setattr(module, "run", lambda *given: (ran.append("toy"), _run(*given))[1])
    monkeypatch.setattr(module, "SHARED_BY_PROCESSES", shared, raising=False)
    unfinished = workspace / runner.PARTIAL_DIR / "toy" / "of other parameters"
    unfinished.mkdir(parents=True)
    monkeypatch.setenv("RANK", "1")
    stages.run_stage("toy", workspace / "params.yaml", workspace)
    assert len(ran) == shared
    assert not (workspace / artifact("caption_phrases").path).exists()
    assert unfinished.is_dir(), "only the first process clears up"
    monkeypatch.setenv("RANK", "0")
    stages.run_stage("toy", workspace / "params.yaml", workspace)
    assert Table(workspace / artifact("caption_phrases").path, PHRASES).num_rows == 3
    assert not unfinished.is_dir()
