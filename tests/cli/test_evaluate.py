from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from evaluated import World, make_world, tiny_clip
from typer.testing import CliRunner

from ram.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
EXAMPLES = [line for block in re.findall(r"```bash\n(.*?)```", DOCUMENT, re.S) for line in block.strip().splitlines()]


@pytest.fixture
def here(drawn_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path / "here", drawn_workspace)
    monkeypatch.chdir(world.root)
    Path("model").symlink_to(world.model)
    [description] = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.S)
    Path("mine.yaml").write_text(description)
    return world


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def ram(command: str) -> Result:
    program, *arguments = shlex.split(command)
    assert program == "ram"
    return CliRunner().invoke(app, arguments)


def test_every_example_of_the_documentation_runs(here: World) -> None:
    shutil.copytree(here.images, "val2017")
    tiny_clip(Path("clip-vit-base-patch16"))
    rows = rows_of(here.labels)
    names = sorted({row["tag"] for row in rows})
    files = sorted({row["image"] for row in rows})
    coco = {
        "images": [{"id": i, "file_name": file} for i, file in enumerate(files)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": files.index(r["image"]), "category_id": names.index(r["tag"])} for r in rows],
    }
    Path("instances_val2017.json").write_text(json.dumps(coco))
    assert len(EXAMPLES) == 7
    outputs = {}
    for command in EXAMPLES:
        result = ram(command)
        assert result.exit_code == 0, (command, result.output, result.exception)
        outputs[command] = result.output
    assert "18 images, 7 names" in outputs[EXAMPLES[0]]
    figures = json.loads(Path("mine.json").read_text())
    assert [at["threshold"] for at in figures["models"][0]["at_thresholds"]] == [0.5, 0.86]
    assert len(rows_of(Path("mine.csv"))) == 7
    assert "<h2>model</h2>" in Path("mine.html").read_text()
    assert "names mapped by: mapping.csv" in next(o for c, o in outputs.items() if c.endswith("--mapping mapping.csv"))
    # the same benchmark in two formats gives the same figure
    figure = next(line for line in outputs[EXAMPLES[0]].splitlines() if line.startswith("model ")).split()[:3]
    assert figure == next(line for line in outputs[EXAMPLES[1]].splitlines() if line.startswith("model ")).split()[:3]


def test_strict_refuses_what_is_counted_otherwise(here: World) -> None:
    (here.images / "050.jpg").write_bytes(b"no image")
    command = "ram evaluate model --benchmark mine.yaml --resamples 0"
    files = {row["image"] for row in rows_of(here.labels)}
    assert "050.jpg" in files
    counted = ram(command)
    assert counted.exit_code == 0
    assert "1 broken image: 050.jpg" in counted.output
    refused = ram(f"{command} --strict")
    assert isinstance(refused.exception, ValueError)
    assert "1 broken_image (050.jpg" in str(refused.exception)


def test_a_proposal_needs_no_image_and_is_not_written_twice(here: World) -> None:
    shutil.rmtree(here.images)
    command = "ram evaluate model --benchmark mine.yaml --propose-mapping m.csv"
    result = ram(command)
    assert "m.csv: 7 of 7 names are tags" in result.output
    assert [row["tag"] for row in rows_of(Path("m.csv")) if row["name"] == "trees"] == ["tree"]
    assert "is there already" in str(ram(command).exception)


def test_a_known_benchmark_may_be_read_in_another_format(here: World) -> None:
    command = "ram evaluate model --benchmark voc --format table --names names.txt --images photos"
    command += f" --labels {shlex.quote(str(here.labels))}"
    result = ram(command)
    assert "no list of names" in str(result.exception)
    Path("names.txt").write_text("ball\nbox\n")
    result = ram(command)
    assert "18 images, 2 names" in result.output
    assert "unknown name" in result.output
