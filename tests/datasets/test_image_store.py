from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ram.datasets.image_store import ImageStore
from ram.io.images import ImageError
from ram.io.tables import Table


def test_bytes_are_those_of_the_tar_member(write_images: Callable[[], tuple[Table, Path]]) -> None:
    images, shards = write_images()
    store = ImageStore(images, shards)
    for shard in ("a.tar", "b.tar"):
        with tarfile.open(shards / shard) as tar:
            for member in tar:
                assert store.read_bytes(f"s/{member.name[:-4]}") == tar.extractfile(member).read()
    assert store.open("s/3").size == (50, 43)
    assert "s/3" in store
    assert len(store) == 7


def test_order_is_that_of_the_shards_and_groups_follow_it(write_images: Callable[[], tuple[Table, Path]]) -> None:
    store = ImageStore(*write_images())
    assert store.in_shard_order() == ["s/4", "s/5", "s/6", "s/0", "s/1", "s/2", "s/3"]
    assert store.in_shard_order(["s/1", "s/6", "s/0"]) == ["s/6", "s/0", "s/1"]
    assert store.by_shard() == {"a.tar": ["s/4", "s/5", "s/6"], "b.tar": ["s/0", "s/1", "s/2", "s/3"]}
    assert [image_id for image_id, _ in store] == store.in_shard_order()
    assert store.in_shard_order([]) == []


def test_threads_and_other_processes_read_the_same(write_images: Callable[[], tuple[Table, Path]]) -> None:
    store = ImageStore(*write_images())
    wanted = [store.read_bytes(i) for i in store.image_ids]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read_bytes, store.image_ids * 20)) == wanted * 20
    assert [pickle.loads(pickle.dumps(store)).read_bytes(i) for i in store.image_ids] == wanted


def test_unknown_images_and_short_shards_are_refused(write_images: Callable[[], tuple[Table, Path]]) -> None:
    images, shards = write_images()
    with pytest.raises(ValueError, match="no image 's/99'"):
        ImageStore(images, shards).read_bytes("s/99")
    data = (shards / "b.tar").read_bytes()
    (shards / "b.tar").write_bytes(data[:600])
    with pytest.raises(ValueError, match="ends before image"):
        ImageStore(images, shards).read_bytes("s/3")
    (shards / "b.tar").write_bytes(data[:512] + b"x" * (len(data) - 512))
    with pytest.raises(ImageError, match="s/0: not a readable image"):
        ImageStore(images, shards).open("s/0")
