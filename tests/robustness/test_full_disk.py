"""Disks that are full and folders that may not be written: an error that says what to do, and what was there stands."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import kills
import pytest
import torch
import yaml
from safetensors.torch import save_file

from ram.io.disk_errors import disk_explained
from ram.io.tables import content_hash, write_part, write_text
from ram.pipeline.params import load_yaml
from ram.registry.log import track
from ram.stages import stage_call
from ram.tracking.server import connect
from ram.training.loop import save_state

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One in which the sample's images have been ingested."""
    params = load_yaml(ROOT / "recipes" / "sample.yaml")
    params["list_sources"]["sources"][0] |= {"num_train": 12, "num_finetune": 2, "num_dev": 2, "num_test": 4}
    params["engine"] = {"kind": "local", "num_workers": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert kills.in_a_process(kills.run_stages, tmp_path, "list_sources", "ingest_pairs") == 0
    return tmp_path


def _outputs(workspace: Path) -> dict[str, str]:
    return {e.name: content_hash(workspace / e.path) for e in stage_call("ingest_pairs").outputs().values()}


@pytest.mark.parametrize("num_bytes", [1000, 30_000])
def test_a_stage_on_a_full_disk_says_so_with_the_remedy_and_leaves_its_last_outputs(
    workspace: Path, num_bytes: int
) -> None:
    before = _outputs(workspace)
    assert kills.in_a_process(kills.run_stages_on_a_full_disk, workspace, num_bytes, "ingest_pairs") == 2
    said = (workspace / "full.txt").read_text()
    assert said.startswith("ingest_pairs could not write: [Errno 27] ")
    assert "bytes) are free in" in said
    assert "free some, or put the folder data on a larger disk" in said
    assert _outputs(workspace) == before
    assert kills.in_a_process(kills.run_stages, workspace, "ingest_pairs") == 0  # there is room again
    assert _outputs(workspace) == before


def test_a_file_in_the_place_of_a_folder_is_named(workspace: Path) -> None:
    partial = workspace / "data" / ".partial" / "ingest_pairs"
    partial.rmdir()
    partial.write_text("a file")
    assert kills.in_a_process(kills.run_stages_on_a_full_disk, workspace, 1 << 40, "ingest_pairs") == 2
    said = (workspace / "full.txt").read_text()
    assert str(partial) in said
    assert "ingest_pairs may not write" in said


def _torch(target: Path) -> None:
    save_state({"weights": torch.zeros(100_000)}, target)


def _safetensors(target: Path) -> None:
    save_file({"weights": torch.zeros(100_000)}, target)


def _text(target: Path) -> None:
    write_text("x" * 400_000, target)


@pytest.mark.parametrize("write", [_torch, _safetensors, _text])
def test_every_library_that_writes_is_understood_when_the_disk_is_full(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with (
            pytest.raises(ValueError, match=r"a test could not write: .*free some"),
            disk_explained(tmp_path, "a test"),
        ):
            write(tmp_path / "target")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_is_wrong_with_a_disk_is_told_and_what_is_wrong_elsewhere_is_not_mistaken_for_it(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pyarrow.parquet.write_table", refuse)
    schema = pa.schema([("a", pa.int64())])
    with pytest.raises(ValueError, match=os.strerror(number)), disk_explained(tmp_path, "a test"):
        write_part(pa.table({"a": [1]}), tmp_path, 0, schema)
    told = ValueError("photos cannot be read; let this user read them")
    told.__cause__ = OSError(number, os.strerror(number))
    for other in (told, OSError(errno.ECONNRESET, "reset"), RuntimeError("shapes do not fit"), KeyError("x")):
        with pytest.raises(type(other)) as raised, disk_explained(tmp_path, "a test"):
            raise other
        assert raised.value is other


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(workspace: Path) -> None:
    before = _outputs(workspace)
    (workspace / "data" / ".partial").chmod(0o555)
    try:
        assert kills.in_a_process(kills.run_stages_on_a_full_disk, workspace, 1 << 40, "ingest_pairs") == 2
    finally:
        (workspace / "data" / ".partial").chmod(0o755)
    assert "Permission denied" in (workspace / "full.txt").read_text()
    assert _outputs(workspace) == before


def test_a_disk_that_is_full_while_mlflow_writes_is_told_as_such_and_the_next_run_publishes(
    finished_workspace: Callable[..., Path], fake_tagger: None
) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    workspace = finished_workspace()
    sections = load_yaml(workspace / "params.yaml")
    sections["model"]["note"] = "x" * 5000  # more than what is left of the pages that are there
    (workspace / "params.yaml").write_text(yaml.safe_dump(sections))
    pages = sqlite3.connect(workspace / ".state" / "mlflow.db").execute("PRAGMA page_count").fetchone()[0]
    limit = [pages]

    def limit_pages(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit[0]}")

    event.listen(Engine, "connect", limit_pages)
    event.listen(Engine, "checkout", limit_pages)
    try:
        with pytest.raises(
            ValueError, match=r"tracking the run could not write: .*database or disk is full.*free some"
        ):
            track(workspace)
        limit[0] = 100 * pages  # there is room again
        run_id = track(workspace)
    finally:
        event.remove(Engine, "connect", limit_pages)
        event.remove(Engine, "checkout", limit_pages)
    client, experiment = connect(workspace)
    assert client.get_run(run_id).info.status == "FINISHED"
    assert not client.search_runs([experiment], "attributes.status = 'RUNNING'")
