from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import ram
from ram.inference.resolve_checkpoint import FILES, checkpoint_dir
from ram.model.checkpoint import Checkpoint


@pytest.fixture
def hub(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stands in for the hub: it has `someone/tagger`, and gives it to who may download; what was asked is kept."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[dict[str, Any]] = []

    def snapshot_download(repo_id: str, **options: Any) -> str:
        asked.append({"repo_id": repo_id, **options})
        target = tmp_path / "hub" / repo_id
        if not options["local_files_only"] and repo_id == "someone/tagger":
            shutil.copytree(checkpoint.directory, target)
        if not options["local_files_only"] and repo_id == "someone/other":
            target.mkdir(parents=True)
            (target / "config.json").write_text("{}")
        if not target.is_dir():
            raise LocalEntryNotFoundError("not here")
        return str(target)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_folder_and_the_files_in_it_are_the_checkpoint(checkpoint: Checkpoint) -> None:
    for source in (checkpoint.directory, str(checkpoint.directory), checkpoint.directory / "model.safetensors"):
        assert ram.load(source).version == checkpoint.version
    assert ram.load(str(checkpoint.directory / "config.json")).version == checkpoint.version


def test_a_hub_id_is_not_fetched_unless_asked_and_then_found_again(checkpoint: Checkpoint, hub: list) -> None:
    with pytest.raises(ValueError, match=r"someone/tagger is no folder here.*download=True"):
        ram.load("someone/tagger")
    assert hub[-1]["local_files_only"] is True
    assert ram.load("someone/tagger", download=True).version == checkpoint.version
    assert hub[-1]["local_files_only"] is False
    assert set(hub[-1]["allow_patterns"]) == set(FILES), "nothing else of a repository is fetched"
    assert ram.load("hub:someone/tagger").version == checkpoint.version
    assert ram.load("someone/tagger@v1.0").version == checkpoint.version
    assert hub[-1]["revision"] == "v1.0"


def test_a_folder_that_is_called_like_a_hub_id_goes_first(
    checkpoint: Checkpoint, hub: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkpoint.directory, tmp_path / "someone" / "tagger")
    assert checkpoint_dir("someone/tagger") == Path("someone/tagger")
    assert hub == []


def test_what_is_on_the_hub_and_no_checkpoint_of_ours_is_refused(hub: list) -> None:
    with pytest.raises(ValueError, match=r"no checkpoint of ours: it has no model\.safetensors.*import-checkpoint"):
        ram.load("someone/other", download=True)
    with pytest.raises(ValueError, match="is it reachable"):
        ram.load("no-one/there", download=True)


def test_a_published_file_is_to_be_imported_first(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "ram.pth")
    with pytest.raises(ValueError, match=r"ram import-checkpoint .*ram\.pth"):
        ram.load(tmp_path / "ram.pth")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="is no checkpoint"):
        ram.load(tmp_path / "notes.txt")


@pytest.mark.parametrize("source", ["./no/where", "a/b/c", "/no/where"])
def test_paths_that_are_not_there_are_not_taken_for_hub_ids(source: str, hub: list) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        ram.load(source)
    assert hub == []
