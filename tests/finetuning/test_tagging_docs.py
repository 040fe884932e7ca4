"""Every example of docs/tagging.md, run as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs" / "tagging.md"
ROOT = DOCS.parents[1]


@pytest.fixture
def here(tmp_path: Path, images: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page speaks of."""
    shutil.copytree(model, tmp_path / "mine")
    for name in ("photos", "frames"):
        (tmp_path / name).mkdir()
    drawn = sorted((images / "drawn").iterdir())
    rows = pd.read_csv(images / "everything.csv")
    rows["tag"] = rows["tag"].replace("street", "road")
    shown = rows[rows["tag"].isin(["tree", "road"])]
    labels = []
    for number, path in enumerate(drawn[:24]):
        name = "ab"[number] if number < 2 else f"p{number}"
        shutil.copyfile(path, tmp_path / "photos" / f"{name}.jpg")
        labels += [(f"{name}.jpg", tag) for tag in shown.loc[shown["image"] == f"drawn/{path.name}", "tag"]]
        if number < 6:
            with Image.open(path) as image:
                image.save(tmp_path / "frames" / f"{number}.png")
    pd.DataFrame(labels, columns=["image", "tag"]).to_csv(tmp_path / "labels.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_python_of_the_page_runs_in_one_session(here: Path) -> None:
    found = blocks("python")
    assert len(found) >= 6
    names: dict[str, object] = {}
    for block in found:
        exec(compile(block, "tagging.md", "exec"), names)
    assert (here / "strip.png").stat().st_size > 0


def test_the_commands_of_the_page_run(here: Path) -> None:
    script = f'set -e\nram() {{ {shlex.quote(sys.executable)} -m ram "$@"; }}\n' + "\n".join(blocks("bash"))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=here, env=_environment())
    assert done.returncode == 0, done.stderr
    assert (here / "tags.parquet").is_file()
    assert len(list((here / "seen").iterdir())) == 24
    assert [p.suffix for p in (here / "strips").iterdir()] == [".png"]
    assert (here / "calibrated" / "thresholds.json").is_file()


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}
