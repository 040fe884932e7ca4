"""`dvc plots` draws the curves of any two revisions, on a page that loads nothing: tried in a repository of two commits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ram.validation.data_docs import external_references

ROOT = Path(__file__).resolve().parents[2]
CURVES = "reports/curves/preliminary.csv"


def write_curves(repository: Path, factor: float) -> None:
    rows = [f"{step},1,train,loss,{factor / step}" for step in (1, 2, 3)] + [f"3,1,dev,mAP/drawn,{factor}"]
    (repository / CURVES).write_text("\n".join(["step,epoch,split,metric,value", *rows]) + "\n")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The project's own settings and plot, and two commits with other curves."""

    def run(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    run("git", "init", "-q")
    for name in ("config", "plots"):
        copy = shutil.copytree if name == "plots" else shutil.copyfile
        (tmp_path / ".dvc").mkdir(exist_ok=True)
        copy(ROOT / ".dvc" / name, tmp_path / ".dvc" / name)
    (plot,) = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["pretrain"]["plots"]
    stage = {"cmd": "true", "plots": [{CURVES: next(iter(plot.values()))}]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"pretrain": stage}}))
    (tmp_path / CURVES).parent.mkdir(parents=True)
    for factor in (1.0, 0.5):
        write_curves(tmp_path, factor)
        run("git", "add", "-A")
        run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", str(factor))
    return tmp_path


def dvc_page(repository: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", "plots", *arguments, "-o", "drawn"]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    return (repository / "drawn" / "index.html").read_text()


def test_two_revisions_are_lines_of_one_offline_page(repository: Path) -> None:
    page = dvc_page(repository, "diff", "HEAD~1", "HEAD")
    assert not external_references(page)
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    (data,) = re.findall(r'"values": (\[\{.*?\}\])', page)
    rows = json.loads(data)
    loss = {(row["rev"], row["step"]): float(row["value"]) for row in rows if row["metric"] == "loss"}
    assert loss == {(rev, str(s)): f / s for rev, f in (("HEAD~1", 1.0), ("HEAD", 0.5)) for s in (1, 2, 3)}
    assert '"usermeta": {"x": "step", "y": "value"}' in page


def test_the_workspace_alone_is_shown_as_well(repository: Path) -> None:
    write_curves(repository, 0.25)
    page = dvc_page(repository, "show")
    assert not external_references(page)
    assert "0.25" in page


def test_every_curve_of_the_graph_is_drawn_by_the_same_template() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    plots = [plot for stage in stages for plot in stage.get("do", stage).get("plots", [])]
    assert len(plots) == 3
    for plot in plots:
        (facts,) = plot.values()
        assert facts == {"cache": False, "x": "step", "y": "value", "template": "curves"}
