from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ram.stages import list_sources


def listing(*sources: dict[str, Any], whole_hash_mib: int = 2) -> list[dict[str, Any]]:
    params = list_sources.Params(sources=sources, whole_hash_mib=whole_hash_mib)
    return list_sources.run(list_sources.Inputs(), params).sources["sources"]


def test_files_are_listed_with_size_and_hash_and_without_this_machines_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    (tmp_path / "b.tar").write_bytes(b"second")
    (tmp_path / "a.tar").write_bytes(b"first")
    source = {"name": "web", "kind": "webdataset", "path": "$SOME_DATA/*.tar"}
    (entry,) = listing(source)
    assert entry["description"] == source
    assert [file["path"] for file in entry["files"]] == ["$SOME_DATA/a.tar", "$SOME_DATA/b.tar"]
    assert [file["num_bytes"] for file in entry["files"]] == [5, 6]
    assert entry["files"][0]["hash"] == hashlib.sha256(b"first").hexdigest()
    assert str(tmp_path) not in str(entry)


def test_a_large_file_is_known_by_its_size_and_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    source = {"name": "web", "kind": "webdataset", "path": str(path)}

    def hash_after(offset: int | None, extra: bytes = b"") -> str:
        content = bytearray(3 << 20)
        if offset is not None:
            content[offset] = 1
        path.write_bytes(bytes(content) + extra)
        file = listing(source)[0]["files"][0]
        assert file["hash_of"] == "size, first and last MiB"
        return str(file["hash"])

    same = hash_after(None)
    assert hash_after(3 << 19) == same, "the middle is not read"
    assert len({same, hash_after(0), hash_after((3 << 20) - 1), hash_after(None, b"\0")}) == 4


def test_the_sample_world_is_known_by_its_params_and_its_code() -> None:
    (entry,) = listing({"name": "world", "kind": "sample_world", "num_train": 3})
    assert entry["files"] == []
    assert len(entry["provenance"]["generator"]) == 12


@pytest.mark.parametrize("sources", [(), ({"name": "a", "kind": "nothing"},)])
def test_a_recipe_without_usable_sources_is_refused(sources: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ValueError):
        list_sources.Params(sources=sources, whole_hash_mib=256)


@pytest.mark.real_data
@pytest.mark.skipif("RAM_REAL_DATA" not in os.environ, reason="RAM_REAL_DATA names no folder of photos")
def test_real_shards_are_listed() -> None:
    (entry,) = listing({"name": "f", "kind": "webdataset", "path": "$RAM_REAL_DATA/flickr8k/train-*.tar"})
    assert len(entry["files"]) == 6
