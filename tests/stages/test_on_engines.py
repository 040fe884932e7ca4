"""Every stage that maps over an engine gives the same bytes on each of them, whichever processes die meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
import yaml
from threadpoolctl import threadpool_limits
from workers import KillingEngine

from ram.io import tables as storage
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.executors import EngineParams, make_engine
from ram.stages import run_stage, stage_call

STAGES = ("parse_captions", "embed_captions", "score_images", "generate_tags", "embed_regions", "clean_tags")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As a worker has: sums over several threads may differ in their last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture
def workspace(drawn_workspace: Path, tmp_path: Path) -> Path:
    """A workspace of its own, with pairs in 4 parts and a recipe that cuts images into 3 or more."""
    root = tmp_path / "ws"
    shutil.copytree(drawn_workspace, root)
    pairs = read_artifact(artifact("pairs"), root)
    rows = pairs.read()
    shutil.rmtree(pairs.path)
    for part in range(4):
        storage.write_part(rows.slice(part * 20, 20), pairs.path, part, pairs.schema)
    for name in ("pairs_check", "generated_tags_check"):
        path = root / artifact(name).path
        storage.write_json(storage.read_json(path) | {"passed": True, "failures": []}, path)
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    sections["model"]["text_encoder"] = "package:wordllama"
    sections["score_images"] |= {"caption": None, "images_per_part": 8, "batch_size": 4}
    sections["generate_tags"]["caption"] = None
    sections["generate_tags"]["thresholds"] |= {"target_precision": 0.1, "caution": 0.0, "min_score": 0.02}
    sections["embed_regions"]["localizer"]["relevance"] = "occlusion"  # the drawn model is not aligned with texts
    sections["clean_tags"]["max_rows_at_once"] = 20
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    return root


def run(workspace: Path, stages: Sequence[str]) -> dict[str, str]:
    """The hash of every artifact that is made."""
    hashes = {}
    for stage in stages:
        run_stage(stage, workspace / "params.yaml", workspace)
        paths = {field: workspace / entry.path for field, entry in stage_call(stage).outputs().items()}
        hashes |= {field: storage.content_hash(path) for field, path in paths.items()}
    return hashes


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "stages", "num_maps"), [("local", ("score_images",), 1), ("ray", STAGES, 8)])
def test_workers_of_which_some_are_killed_give_the_bytes_of_this_process(
    kind: str,
    stages: Sequence[str],
    num_maps: int,
    workspace: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
    other = tmp_path / "other"
    shutil.copytree(workspace, other)
    monkeypatch.setattr("ram.pipeline.runner.make_engine", lambda params: make_engine(EngineParams(num_workers=1)))
    expected = run(workspace, stages)
    assert len(read_artifact(artifact("tag_scores"), workspace).part_paths) == 3 + 3  # of train, of dev
    (tmp_path / "dead").mkdir()
    params = EngineParams(kind=kind, num_workers=2, num_model_workers=2)  # type: ignore[arg-type]
    engine = KillingEngine(make_engine(params), tmp_path / "dead")
    monkeypatch.setattr("ram.pipeline.runner.make_engine", lambda params: engine)
    assert run(other, stages) == expected
    assert len(list((tmp_path / "dead").iterdir())) == num_maps
