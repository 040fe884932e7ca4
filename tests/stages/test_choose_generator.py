from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ram.model.checkpoint import checkpoint_version
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.stages.choose_generator import Inputs, Params, run


def inputs(workspace: Path, scratch: Path) -> Inputs:
    preliminary = read_artifact(artifact("preliminary_model"), workspace)
    return Inputs(preliminary, read_artifact(artifact("label_system"), workspace), scratch)


def test_the_preliminary_model_is_the_generator_unless_another_is_named(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path)
    found = run(given, Params(checkpoint="preliminary")).generator_model
    assert checkpoint_version(found) == checkpoint_version(given.preliminary_model)
    assert (found / "model.safetensors").samefile(given.preliminary_model / "model.safetensors")


def test_another_checkpoint_is_copied_whole_and_stays_as_it_is(
    drawn_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "mine"
    shutil.copytree(drawn_workspace / artifact("finetuned_model").path, source)
    monkeypatch.setenv("MODELS", str(tmp_path))
    for _ in range(2):  # the second as after a run that was killed
        found = run(inputs(drawn_workspace, tmp_path / "scratch"), Params(checkpoint="$MODELS/mine")).generator_model
        assert checkpoint_version(found) == checkpoint_version(source)
    assert not (found / "model.safetensors").samefile(source / "model.safetensors")


def test_a_folder_that_is_no_checkpoint_is_refused_with_the_way_to_get_one(
    drawn_workspace: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"has no config.json: name a checkpoint folder, or preliminary.*dvc checkout"):
        run(inputs(drawn_workspace, tmp_path), Params(checkpoint=str(tmp_path / "nothing")))


def test_a_model_that_knows_none_of_the_tags_is_refused(drawn_workspace: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    shutil.copytree(drawn_workspace / artifact("preliminary_model").path, stranger)
    (stranger / "label_system.json").write_text(json.dumps({"tags": [{"tag_id": 0, "name": "quasar"}]}))
    with pytest.raises(ValueError, match="knows none of the 8 tags"):
        run(inputs(drawn_workspace, tmp_path / "scratch"), Params(checkpoint=str(stranger)))


def test_a_preliminary_model_of_another_label_system_is_refused(drawn_workspace: Path, tmp_path: Path) -> None:
    given = inputs(drawn_workspace, tmp_path)
    fewer = {"tags": given.label_system["tags"][:3]}
    with pytest.raises(ValueError, match="run pretrain again"):
        run(given._replace(label_system=fewer), Params(checkpoint="preliminary"))
