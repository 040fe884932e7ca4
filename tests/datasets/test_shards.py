from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.datasets.shards import ShardWriter, member_stem


@given(st.text(min_size=1), st.text(min_size=1))
def test_member_names_are_safe_and_differ_where_keys_differ(one: str, two: str) -> None:
    one, two = (key.encode("utf-8", "ignore").decode() for key in (one, two))
    stem = member_stem("source", one)
    assert stem.startswith("source/")
    assert "." not in stem
    assert "/" not in stem.removeprefix("source/")
    assert (stem == member_stem("source", two)) == (one == two)


def test_offsets_lead_to_the_images_bytes(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    images = {f"s/{'long' * 40}{i}": bytes([i]) * (511 + i) for i in range(3)}
    with ShardWriter(path) as writer:
        offsets = [writer.write(stem, ".jpg", image, {"captions": ["ü"]}) for stem, image in images.items()]
    content = path.read_bytes()
    for offset, image in zip(offsets, images.values(), strict=True):
        assert content[offset : offset + len(image)] == image
    with tarfile.open(path) as tar:
        assert tar.getnames() == [name + suffix for name in images for suffix in (".jpg", ".json")]
        assert {m.mtime for m in tar} == {0}
        stream = tar.extractfile(tar.getnames()[1])
        assert stream is not None
        assert json.load(stream) == {"captions": ["ü"]}


def test_a_shard_that_fails_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    with pytest.raises(KeyError), ShardWriter(path):
        raise KeyError("stop")
    assert not path.exists()
