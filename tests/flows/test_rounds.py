"""The rounds over a DVC project of one stage that writes what the real graph would, its tags drawn by the generator."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.rounds import present_round, rounds
from flows.workspace import set_param
from ram.io.tables import write_json
from ram.pipeline.catalog import artifact
from ram.registry.rounds import read_rounds

pytestmark = pytest.mark.usefixtures("server_workspace")
ROOT = Path(__file__).resolve().parents[2]
Make = Callable[[dict[str, Any]], Path]
OUTPUTS = ("generator_model", "retrained_model", "cleaned_tags")
MOVED = ("reports/curves/retrained.csv", "data/images", "data/parsed_tags", "data/generated_tags")

ENGINE = """
import hashlib, json, shutil
from pathlib import Path
import numpy as np
import yaml
from ram.pipeline.catalog import artifact
from ram.io.tables import Table, write_table

parameter = yaml.safe_load(open("params.yaml"))["choose_generator"]["checkpoint"]
source = Path("given/models/preliminary" if parameter == "preliminary" else parameter)
paths = {name: artifact(name).path for name in ("generator_model", "retrained_model", "cleaned_tags")}
shutil.copytree(source, paths["generator_model"])
shutil.copytree(source, paths["retrained_model"])
config = json.loads((source / "config.json").read_text())
config["extra"]["rounds"] = config["extra"].get("rounds", 0) + 1
(paths["retrained_model"] / "config.json").unlink()
(paths["retrained_model"] / "config.json").write_text(json.dumps(config))
schema = artifact("cleaned_tags").schema
rows = Table(Path("given/cleaned_tags"), schema).to_pandas()
seed = hashlib.sha256((source / "config.json").read_bytes()).digest()[:8]
generator = np.random.default_rng(list(seed))
kept = generator.random(len(rows)) < 0.8
rows = rows.assign(kept=kept, reason=np.where(kept, None, "cluster_outlier"))
write_table(rows, paths["cleaned_tags"], schema)
"""


@pytest.fixture
def workspace(dvc_project: Make, drawn_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stage = {
        "cmd": f"{Path(sys.executable).name} engine.py",
        "deps": ["engine.py"],
        "params": ["choose_generator"],
        "outs": [artifact(name).path.as_posix() for name in OUTPUTS],
    }
    root = dvc_project({"engine": stage})
    (root / "engine.py").write_text(ENGINE)
    (root / "params.yaml").write_text(
        "# parameters\nchoose_generator:\n  checkpoint: preliminary  # or another\n"
        "rounds: {min_tag_change: 0.02, min_gain: null}\n"
    )
    shutil.copytree(drawn_workspace / "data", root / "given")
    for path in MOVED:
        source = drawn_workspace / path
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / path)
    write_json({"finetuned": {"drawn": {"mAP": 0.5}}}, root / artifact("evaluation").path)
    write_json({"truth": None}, root / artifact("cleaning_report").path)
    return root


@pytest.mark.slow
def test_every_round_generates_by_the_model_of_the_round_before_and_dvc_keeps_that_model(workspace: Path) -> None:
    noted = rounds(num_rounds=2, workspace=workspace)
    assert [r["checkpoint"] for r in noted] == ["preliminary", "data/generators/round-1"]
    assert noted[0]["generator_version"] != noted[1]["generator_version"]
    assert 0.02 < noted[1]["tag_change"] < 1
    text = (workspace / "params.yaml").read_text()
    assert text.startswith("# parameters\n")
    assert "checkpoint: data/generators/round-1  # or another" in text
    tracked = yaml.safe_load((workspace / "data/generators/round-1.dvc").read_text())
    assert tracked["outs"][0]["md5"].endswith(".dir")

    noted = rounds(num_rounds=3, workspace=workspace)  # goes on where it was
    assert [r["round"] for r in noted] == [1, 2, 3]
    assert noted[2]["checkpoint"] == "data/generators/round-2"
    assert (workspace / "reports" / "rounds.json").is_file()

    again = rounds(num_rounds=1, workspace=workspace, restart=True)
    assert [r["checkpoint"] for r in again] == ["preliminary"]
    assert again[0]["generator_version"] == noted[0]["generator_version"]


@pytest.mark.slow
def test_rounds_end_where_the_tags_hardly_change(workspace: Path) -> None:
    set_all_kept = ENGINE.replace("generator.random(len(rows)) < 0.8", "np.full(len(rows), True)")
    (workspace / "engine.py").write_text(set_all_kept)
    noted = rounds(num_rounds=5, workspace=workspace)
    assert [r["tag_change"] for r in noted] == [None, 0.0]
    assert "less than 2.00%" in noted[1]["stop"]
    assert read_rounds(workspace) == noted


def test_the_present_round_is_that_of_the_generator(tmp_path: Path) -> None:
    for checkpoint, expected in (
        ("preliminary", 1),
        ("data/generators/round-3", 4),
        ("../other/data/generators/round-3", 1),
    ):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"choose_generator": {"checkpoint": checkpoint}}))
        assert present_round(tmp_path) == expected


@pytest.mark.parametrize("form", ["choose_generator: {checkpoint: preliminary}  # x\n", "choose_generator:\n  # a\n  checkpoint: preliminary # x\n"])  # fmt: skip  # noqa: E501
def test_a_param_is_written_in_its_place_and_nothing_else_changes(tmp_path: Path, form: str) -> None:
    before = f"seed: 1 # checkpoint: no\nfirst: {{checkpoint: a}}\n{form}last: {{checkpoint: b}}\n"
    (tmp_path / "params.yaml").write_text(before)
    set_param(tmp_path, "choose_generator", "checkpoint", "data/x")
    assert (tmp_path / "params.yaml").read_text() == before.replace("preliminary", "data/x")


def test_a_param_that_is_written_in_another_way_is_left_to_people(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text('choose_generator: {"checkpoint": preliminary}\nlast: {checkpoint: b}\n')
    with pytest.raises(ValueError, match="set it to data/x by hand"):
        set_param(tmp_path, "choose_generator", "checkpoint", "data/x")
    assert "data/x" not in (tmp_path / "params.yaml").read_text()
