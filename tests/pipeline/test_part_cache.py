from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ram.pipeline.part_cache import KeptParts


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("links", [True, False])
def test_a_part_is_found_again_by_its_content_and_under_any_name(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise OSError(errno.EXDEV, "another file system")

        monkeypatch.setattr(os, "link", refuse)
    kept = KeptParts(tmp_path / "kept", {"parameter": 1})
    key = kept.key("a", ["b"])
    kept.keep(key, {"x": _write(tmp_path / "part-0", "one"), "absent": tmp_path / "none"})
    again = KeptParts(tmp_path / "kept", {"parameter": 1})
    targets = {"x": tmp_path / "other" / "part-7", "absent": tmp_path / "other" / "none"}
    assert again.restore(again.key("a", ["b"]), targets)
    assert targets["x"].read_text() == "one"
    assert not targets["absent"].exists()
    assert not again.restore(again.key("a", ["c"]), targets)
    assert again.num_restored == 1


def test_other_params_or_another_model_find_nothing(tmp_path: Path) -> None:
    kept = KeptParts(tmp_path / "kept", {"parameter": 1}, "model a")
    kept.keep(kept.key("a"), {"x": _write(tmp_path / "part", "one")})
    for facts in (({"parameter": 2}, "model a"), ({"parameter": 1}, "model b")):
        other = KeptParts(tmp_path / "kept", *facts)
        assert not other.restore(other.key("a"), {"x": tmp_path / "y"})


def test_what_is_not_wanted_any_more_is_forgotten(tmp_path: Path) -> None:
    old, kept = (KeptParts(tmp_path / "kept", parameter) for parameter in (1, 2))
    old.keep(old.key("a"), {"x": _write(tmp_path / "part", "one")})
    for content in ("a", "b"):
        kept.keep(kept.key(content), {"x": tmp_path / "part"})
    kept.forget_others([kept.key("b")])
    assert kept.restore(kept.key("b"), {"x": tmp_path / "y"})
    assert not kept.restore(kept.key("a"), {"x": tmp_path / "y"})
    assert not old.restore(old.key("a"), {"x": tmp_path / "y"})


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    kept = KeptParts(None)
    kept.keep(kept.key("a"), {"x": _write(tmp_path / "part", "one")})
    kept.forget_others([])
    assert not kept.restore(kept.key("a"), {"x": tmp_path / "y"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part"]
