from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ram.datasets.feature_store import FeatureStore, part_file, write_manifest, write_view
from ram.io.tables import write_json


@pytest.fixture
def plain() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {f"s/{i}": generator.normal(size=(3, 2, 2)).astype(np.float16) for i in range(5)}


@pytest.fixture
def store(tmp_path: Path, plain: dict[str, np.ndarray]) -> FeatureStore:
    for part, (ids, augmented) in enumerate([(["s/0", "s/1"], ["s/1"]), (["s/2", "s/3", "s/4"], [])]):
        write_view(iter([np.stack([plain[i] for i in ids])]), len(ids), tmp_path, part, 0)
        if augmented:
            write_view(iter([-plain["s/1"][None]]), 1, tmp_path, part, 1)
        write_json({"image_ids": ids, "augmented_ids": augmented}, part_file(tmp_path, part))
    write_manifest(tmp_path, {"enabled": True, "fingerprint": "f", "num_parts": 2, "num_views": 2, "shape": [3, 2, 2]})
    return FeatureStore(tmp_path)


def test_rows_come_in_the_order_asked_for_across_parts(store: FeatureStore, plain: dict[str, np.ndarray]) -> None:
    ids = ["s/4", "s/0", "s/3", "s/0"]
    np.testing.assert_array_equal(store.read(ids), np.stack([plain[i] for i in ids]))
    np.testing.assert_array_equal(store.read(["s/1"], view=1), -plain["s/1"][None])
    assert store.read([]).shape == (0, 3, 2, 2)
    assert len(store) == 5


def test_it_says_what_it_holds(store: FeatureStore) -> None:
    assert store.covers(["s/0", "s/4"])
    assert not store.covers(["s/0", "s/9"])
    assert store.covers(["s/1"], view=1)
    assert not store.covers(["s/0"], view=1)
    assert not store.covers(["s/0"], view=2)
    assert store.fits("f")
    assert not store.fits("g")


def test_what_is_not_stored_is_refused_by_name(store: FeatureStore) -> None:
    with pytest.raises(ValueError, match="'s/9'"):
        store.read(["s/0", "s/9"])
    with pytest.raises(ValueError, match=r"'s/0' .* in view 1"):
        store.read(["s/0"], view=1)
    with pytest.raises(ValueError, match="view must be 0 to 1"):
        store.read(["s/0"], view=2)


def test_a_store_that_is_off_holds_nothing_and_fits_nothing(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"enabled": False, "reason": "nothing is frozen"})
    store = FeatureStore(tmp_path)
    assert not store.enabled
    assert not store.covers([])
    assert not store.fits("f")


def test_a_worker_gets_the_paths_and_not_the_arrays(store: FeatureStore) -> None:
    store.read(["s/0"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).read(["s/0"]), store.read(["s/0"]))


def test_values_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half precision"), np.errstate(over="ignore"):
        write_view(iter([np.full((1, 2), 1e6, np.float32)]), 1, tmp_path, 0, 0)
    assert not list(tmp_path.glob("*.npy"))
