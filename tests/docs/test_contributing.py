"""The stage of docs/contributing.md, put into a copy of the project as the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from code_blocks import ROOT, blocks_of, file_of

BLOCKS = [(file, b.text) for b in blocks_of(ROOT / "docs" / "contributing.md") if (file := file_of(b.text))]
COPIED = ("ram", "tests", "dvc.yaml", "params.yaml", "recipes", "pyproject.toml")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to which the page's stage was added."""
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, root / name)
    for file, text in BLOCKS:
        if "count_words" in text or "word_counts" in text:
            _add(root, file, text)
    return root


def _add(project: Path, file: str, text: str) -> None:
    """As the first line of the block says: a new file, a line of the catalog, a section of params.yaml, a stage."""
    first, _, rest = text.partition("\n")
    path = project / file
    if file == "ram/pipeline/catalog.py":
        before = path.read_text()
        line = f"    {rest.strip()},\n"
        after = re.sub(r"^_OTHERS: .*= \[\n", lambda found: found[0] + line, before, flags=re.MULTILINE)
        assert after != before
        path.write_text(after)
    elif file == "params.yaml":
        assert "every file of recipes/" in first
        for recipe in (path, *(project / "recipes").glob("*.yaml")):
            recipe.write_text(f"{recipe.read_text()}\n{rest}")
    elif file == "dvc.yaml":
        path.write_text(path.read_text() + rest)
    else:
        assert not path.exists()
        path.write_text(text)


def _run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *words], cwd=project, capture_output=True, text=True, env=environment)


def test_the_contracts_hold_with_the_stage_of_the_page_and_its_own_test_passes(project: Path) -> None:
    tests = ["tests/contracts/test_rules.py", "tests/stages/test_count_words.py"]
    chosen = "graph or parameters or every_recipe_gives or every_stage or a_word_counts"
    done = _run(project, "-m", "pytest", "-v", "-p", "no:cacheprovider", *tests, "-k", chosen)
    assert done.returncode == 0, done.stdout[-4000:]
    for test in ("dependencies_in_the_graph_are_the_inputs_and_the_modules_of_the_code", "params_in_the_graph"):
        assert re.search(rf"{test}.*\[count_words\] PASSED", done.stdout), test
    assert "test_a_word_counts_once_a_caption_and_short_ones_not_at_all PASSED" in done.stdout


def test_the_stage_of_the_page_runs_in_a_workspace(project: Path, drawn_workspace: Path) -> None:
    shutil.copytree(drawn_workspace / "data" / "pairs", project / "data" / "pairs")
    done = _run(project, "-m", "ram", "stage", "count_words")
    assert done.returncode == 0, done.stderr
    counts = yaml.safe_load((project / "reports" / "word_counts.json").read_text())
    assert counts["paper"] == max(counts.values())
    assert all(len(word) >= 4 for word in counts)
