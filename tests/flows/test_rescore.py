from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from flows.rescore import rescore
from flows.stage_graph import BadInput


@pytest.mark.slow
@pytest.mark.usefixtures("server_workspace")
def test_a_folder_is_tagged_and_the_next_run_tags_only_what_is_new(drawn_workspace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "a.png")
    model = str((drawn_workspace / "data" / "models" / "finetuned").resolve())
    assert "1 images; 1 tagged now, 0 before" in rescore(folder, tmp_path / "out", model, tmp_path)
    Image.new("RGB", (64, 64), "blue").save(folder / "b.png")
    said = rescore(folder, tmp_path / "out", model, tmp_path)
    assert "2 images; 1 tagged now, 1 before" in said
    lines = Path(said.partition(": ")[0]).read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["a.png", "b.png"]
    with pytest.raises(BadInput, match="is no folder"):
        rescore(tmp_path / "none", tmp_path / "out", model, tmp_path)
