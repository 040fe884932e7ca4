from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import cleaning
from ram.io.tables import Table, write_table
from ram.pipeline.catalog import artifact

PAPER = "paper: kmeans 10 %, region score < 0.2"


@pytest.fixture
def workspace(drawn_workspace: Path, tmp_path: Path, recipe: dict[str, Any]) -> Path:
    recipe["clean_tags"]["detectors"]["points"]["min_regions"] = 7
    root = tmp_path / "workspace"
    shutil.copytree(drawn_workspace, root)
    (root / "params.yaml").write_text(yaml.safe_dump(recipe))
    schema = artifact("caption_evidence").schema
    assert schema is not None
    write_table([], root / artifact("caption_evidence").path, schema)
    return root


def kept(table: Table) -> int:
    return int(table.to_pandas()["kept"].sum())


def test_models_are_retrained_on_what_each_cleaning_keeps(workspace: Path, recipe: dict[str, Any]) -> None:
    ours, paper = cleaning.chosen(workspace, recipe, PAPER)
    assert paper.rules.outlier_share == 0.1
    assert paper.rules.min_region_score == 0.2
    assert list(paper.detectors.use) == ["kmeans"]
    found = cleaning.retrained(workspace, ours, paper)
    assert tuple(found) == cleaning.ARMS
    assert all(0 < value <= 1 for value in found.values())
    schema = artifact("cleaned_tags").schema
    assert schema is not None
    tables = [Table(workspace / "arms" / f"{name}_tags", schema) for name in ("paper", "ours")]
    assert tables[0].num_rows == tables[1].num_rows
    assert kept(tables[0]) != kept(tables[1])
    assert sorted(path.name for path in (workspace / "arms").iterdir()) == [
        "ours_tags",
        "ours_tags_as_hard_targets",
        "paper_tags",
        "paper_tags_as_hard_targets",
    ]


def test_the_table_says_what_each_gains_on_the_papers_rule(capsys: pytest.CaptureFixture[str]) -> None:
    values = ((0.1, 0.2, 0.3, 0.4), (0.1, 0.3, 0.2, 0.5))
    cleaning.print_retrained([dict(zip(cleaning.ARMS, one, strict=True)) for one in values])
    lines = capsys.readouterr().out.splitlines()
    ours = next(line for line in lines if line.startswith(cleaning.OURS_HARD))
    assert ours.split()[-5:] == ["0.2500", "0.0707", "+0.0000", "0.3000", "0.2000"]
    assert next(line for line in lines if line.startswith(cleaning.OURS + " ")).split()[-3] == "+0.2000"
