from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ram.cli.main import app
from ram.io.tables import write_json, write_table
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact
from ram.stages import run_stage

ROOT = Path(__file__).resolve().parents[2]
OLD = LabelSystem([Tag(tag_id=0, name="dog", frequency=9), Tag(tag_id=1, name="cat", frequency=3)])
NEW = LabelSystem([Tag(tag_id=0, name="dog", frequency=9), Tag(tag_id=1, name="red", kind="attribute")])


def ram(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["labels", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_json(NEW.to_json(), artifact("label_system").path)
    return tmp_path


def test_two_label_systems_are_compared_by_file_or_folder(workspace: Path) -> None:
    write_json(OLD.to_json(), workspace / "checkpoint" / "label_system.json")
    text = ram("diff", "checkpoint", ".")
    assert "added (1)\n  red" in text
    assert "removed (1)\n  cat" in text
    change = json.loads(ram("diff", "checkpoint/label_system.json", "data/label_system.json", "--json"))
    assert (change["added"], change["removed"]) == (["red"], ["cat"])
    (workspace / "reports").mkdir()
    with pytest.raises(ValueError, match=r"reports has no label_system\.json; name the file"):
        ram("diff", "reports", ".")


@pytest.mark.slow
def test_a_git_revision_stands_for_the_label_system_that_dvc_had_there(workspace: Path) -> None:
    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    shutil.rmtree("data")
    stage = "mkdir -p data && cp labels.json data/label_system.json"
    graph = {"stages": {"build": {"cmd": stage, "deps": ["labels.json"], "outs": [str(artifact("label_system").path)]}}}
    Path("dvc.yaml").write_text(yaml.safe_dump(graph))
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    for labels, name in ((OLD, "first"), (NEW, "second")):
        write_json(labels.to_json(), Path("labels.json"))
        run(sys.executable, "-m", "dvc", "repro", "-q")
        run("git", "add", ".")
        run("git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", name)
    change = json.loads(ram("diff", "HEAD~1", "data/label_system.json", "--json"))
    assert (change["added"], change["removed"]) == (["red"], ["cat"])
    run("git", "rm", "-q", "--cached", "dvc.lock")
    run("git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "without a lock")
    with pytest.raises(ValueError, match=r"no data/label_system\.json at git revision HEAD: .* must be in git"):
        ram("diff", "HEAD", "HEAD~1")


def test_show_counts_kinds_and_prints_the_coverage_of_this_version_alone(workspace: Path) -> None:
    row = {"num_names": 80, "num_exact": 40, "num_synonym": 8, "num_missing": 32, "share": 0.6, "mention_share": 0.975}
    report = artifact("label_system_report").path
    write_json({"version": NEW.version, "coverage": {"coco80": row}}, report)
    text = ram("show")
    assert f"label system {NEW.version}: 2 tags" in text
    assert "object     1  dog 9" in text
    assert ["coco80", "80", "40", "8", "32", "60.0%", "97.5%"] in [line.split() for line in text.splitlines()]
    assert json.loads(ram("show", "--json"))["num_tags_by_kind"] == {
        "object": 1,
        "scene": 0,
        "attribute": 1,
        "action": 0,
    }
    write_json({"version": "another", "coverage": {"coco80": row}}, report)
    assert "coco80" not in ram("show")


def test_review_takes_suggestions_in_and_says_what_the_next_build_makes_of_the_decisions(workspace: Path) -> None:
    shutil.copytree(ROOT / "data" / "vocabularies", artifact("vocabularies").path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["build_label_system"]["vocabularies"] = ["coco80"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    counts = {("dog", "object"): 9, ("couch", "object"): 5, ("tree", "object"): 6, ("zyzzx", "object"): 8}
    rows = [
        {"image_id": f"s/{i}", "split": "train", "caption_index": 0, "phrase": phrase, "kind": kind}
        for (phrase, kind), count in counts.items()
        for i in range(count)
    ]
    write_table(rows, artifact("caption_phrases").path, artifact("caption_phrases").schema)
    run_stage("build_label_system")
    review = artifact("vocabularies").path / "review.csv"
    assert not review.exists()
    assert "1 new suggestions; 0 accepted" in ram("review")
    lines = review.read_text().splitlines()
    assert lines[1].startswith(",keep,zyzzx,object,frequent but dropped,")
    review.write_text("\n".join([lines[0], "accept" + lines[1], "accept,rename,couch,sofa,,,"]))
    decided = review.read_text()
    text = ram("review")
    assert "0 new suggestions; 2 accepted, 0 rejected, 0 undecided" in text
    assert "added (1)\n  zyzzx" in text
    assert "couch -> sofa" in text
    assert review.read_text() == decided
    run_stage("build_label_system")
    assert ram("review").rstrip().endswith("nothing changed")
    review.write_text(decided + "\naccept,merge,dog,unicorn,,,\n")
    with pytest.raises(ValueError, match=r"review\.csv:4: merge 'dog' into 'unicorn': there is no tag 'unicorn'"):
        ram("review")
