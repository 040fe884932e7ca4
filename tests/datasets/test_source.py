from __future__ import annotations

from pathlib import Path

import pytest

from ram.datasets import KINDS, make_source, make_sources
from ram.datasets.source import expand, find_files, read_inside, unit_hash


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown kind of source 'lmdb'; known: coco, sample_world, table, webdataset"):
        make_source({"name": "a", "kind": "lmdb"})
    assert sorted(KINDS) == ["coco", "sample_world", "table", "webdataset"]


def test_an_unknown_param_is_named_with_its_source() -> None:
    with pytest.raises(ValueError, match="source photos: unknown parameter pth"):
        make_source({"name": "photos", "kind": "webdataset", "pth": "x"})


def test_two_sources_may_not_share_a_name() -> None:
    entry = {"name": "photos", "kind": "webdataset", "path": "x.tar"}
    with pytest.raises(ValueError, match="two sources are called photos"):
        make_sources([entry, entry])
    with pytest.raises(ValueError, match="is empty"):
        make_sources([])


@pytest.mark.parametrize("parameters", [{"name": "a/b"}, {"name": ""}, {"split": "val"}, {"dev_share": 1.0}])
def test_params_that_make_no_sense_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        make_source({"name": "a", "kind": "webdataset", "path": "x.tar"} | parameters)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE_DATA", raising=False)
    with pytest.raises(ValueError, match="environment variable NOWHERE_DATA"):
        expand("$NOWHERE_DATA/x.tar")


@pytest.mark.parametrize("path", ["$SOME_DATA/x-1.tar", "${SOME_DATA}/x-1.tar"])
def test_a_variable_is_replaced_with_braces_and_without(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", "/somewhere")
    assert expand(path) == Path("/somewhere/x-1.tar")


def test_found_files_are_sorted_and_keep_their_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    (tmp_path / "a").mkdir()
    for name in ("a/2.tar", "a/1.tar", "a/1.txt"):
        (tmp_path / name).write_bytes(b"")
    assert find_files("$SOME_DATA/a/*.tar") == ["$SOME_DATA/a/1.tar", "$SOME_DATA/a/2.tar"]
    assert find_files("$SOME_DATA/a/1.txt") == ["$SOME_DATA/a/1.txt"]
    with pytest.raises(ValueError, match="no file matches"):
        find_files("$SOME_DATA/b/*.tar")


def test_the_dev_share_is_about_that_large_and_always_the_same() -> None:
    source = make_source({"name": "a", "kind": "webdataset", "path": "x.tar", "split": "finetune", "dev_share": 0.3})
    splits = [source.split_of(str(key)) for key in range(2000)]
    assert set(splits) == {"dev", "finetune"}
    assert abs(splits.count("dev") / 2000 - 0.3) < 0.04
    assert splits[:5] == [source.split_of(str(key)) for key in range(5)]
    assert 0 <= unit_hash("x") < 1


def test_no_path_leads_out_of_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.jpg").write_bytes(b"image")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (inside / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert read_inside(inside, "a.jpg") == b"image"
    for path in ("../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", "b/../../secret.jpg"):
        assert "leads out of its folder" in str(read_inside(inside, path))
    assert read_inside(inside, "none.jpg") == "no file 'none.jpg'"
