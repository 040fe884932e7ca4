from __future__ import annotations

import dataclasses
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tars import write_tar

from ram.datasets.augment import AugmentParams
from ram.datasets.feature_store import FeatureStore, part_file, view_file
from ram.datasets.image_store import ImageStore
from ram.io.tables import Table, write_table
from ram.model.build import ModelParams, build_image_encoder, build_model, build_preprocess
from ram.pipeline.catalog import artifact
from ram.stages.embed_images import Inputs, Params, run

MODEL = ModelParams(image_encoder="resnet10t", image_size=32, num_frozen_blocks=2, token_width=8, width=8, num_heads=2)
PARAMS = Params(
    seed=1, model=MODEL, enabled=True, num_views=3, augment=AugmentParams(min_scale=0.5, num_operations=0), batch_size=2
)
SPLITS = {"0": "train", "1": "test", "2": "finetune", "3": "dev", "4": "train"}


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    shards, rows = tmp_path / "shards", []
    shards.mkdir()
    generator = np.random.default_rng(0)
    for shard, keys in {"a.tar": "012", "b.tar": "34"}.items():
        members = {}
        for key in keys:
            buffer = io.BytesIO()
            Image.fromarray(generator.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(buffer, "PNG")
            members[f"{key}.png"] = buffer.getvalue()
        write_tar(shards / shard, members)
        with tarfile.open(shards / shard) as tar:
            rows += [
                {
                    "image_id": m.name[0], "source": "s", "split": SPLITS[m.name[0]], "shard": shard, "member": m.name,
                    "offset": m.offset_data, "num_bytes": m.size, "width": 36, "height": 40,
                    "sha256": "", "perceptual_hash": "",
                }
                for m in tar
            ]  # fmt: skip
    write_table(rows, tmp_path / "images", artifact("images").schema)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Inputs(Table(tmp_path / "images", artifact("images").schema), shards, scratch)


def test_view_0_is_the_trunks_output_of_the_plain_image(inputs: Inputs) -> None:
    store = FeatureStore(run(inputs, PARAMS).image_features)
    images, encoder = ImageStore(inputs.images, inputs.image_shards), build_image_encoder(MODEL, seed=1).eval()
    assert store.covers(list(SPLITS))
    for image_id in SPLITS:
        wanted = encoder.trunk(build_preprocess(MODEL)(images.open(image_id))[None])
        np.testing.assert_allclose(store.read([image_id]), wanted, atol=2e-3, rtol=2e-3)


def test_the_model_built_of_the_same_params_takes_the_features_for_its_own(inputs: Inputs) -> None:
    store = FeatureStore(run(inputs, PARAMS).image_features)
    model = build_model(MODEL, torch.nn.functional.normalize(torch.randn(3, 16), dim=1), seed=1)
    assert store.fits(model.trunk_fingerprint())
    other = build_model(dataclasses.replace(MODEL, num_frozen_blocks=3), torch.ones(3, 16))
    assert not store.fits(other.trunk_fingerprint())


def test_augmented_views_differ_from_each_other_and_are_of_what_is_trained_on(inputs: Inputs) -> None:
    store = FeatureStore(run(inputs, PARAMS).image_features)
    assert store.num_views == 3
    trained = [i for i, split in SPLITS.items() if split in ("train", "finetune")]
    plain, one, two = (store.read(trained, view) for view in range(3))
    for a, b in ((plain, one), (plain, two), (one, two)):
        assert np.abs(a - b).max() > 0.01
    assert not store.covers(["1"], view=1)


def test_a_killed_run_goes_on_after_its_last_whole_shard(inputs: Inputs) -> None:
    folder = run(inputs, PARAMS).image_features
    wanted = {p.name: p.read_bytes() for p in folder.iterdir()}
    part_file(folder, 1).unlink()
    view_file(folder, 1, 0).write_bytes(b"half")
    kept = view_file(folder, 0, 0).stat().st_mtime_ns
    run(inputs, PARAMS)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == wanted
    assert view_file(folder, 0, 0).stat().st_mtime_ns == kept


@pytest.mark.usefixtures("force_bf16")
def test_bfloat16_gives_about_the_same_features(inputs: Inputs) -> None:
    exact = FeatureStore(run(inputs, PARAMS).image_features).read(list(SPLITS)).astype(np.float32)
    half = inputs._replace(scratch=inputs.scratch / "bf16")
    rounded = FeatureStore(run(half, dataclasses.replace(PARAMS, precision="bf16")).image_features).read(list(SPLITS))
    assert 0 < np.abs(rounded - exact).mean() < 0.05 * np.abs(exact).mean()


@pytest.mark.parametrize(
    "changes",
    [{"enabled": False}, {"model": dataclasses.replace(MODEL, num_frozen_blocks=0)}],
    ids=["off", "nothing frozen"],
)
def test_nothing_is_stored_where_it_is_off_or_nothing_is_frozen(inputs: Inputs, changes: dict) -> None:
    folder = run(inputs, dataclasses.replace(PARAMS, **changes)).image_features
    assert [p.name for p in folder.iterdir()] == ["manifest.json"]
    assert not FeatureStore(folder).enabled


def test_a_shard_of_the_same_images_is_not_embedded_again(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_image = ImageStore.open

    def counted(self: ImageStore, image_id: str, min_size: int | None = None) -> Image.Image:
        opened.append(image_id)
        return open_image(self, image_id, min_size)

    monkeypatch.setattr(ImageStore, "open", counted)
    rows = inputs.images.to_pandas()
    write_table(rows[rows["shard"] == "a.tar"], tmp_path / "fewer", inputs.images.schema)
    fewer = inputs._replace(images=Table(tmp_path / "fewer", inputs.images.schema), state=tmp_path / "state")
    run(fewer, PARAMS)
    assert set(opened) == {"0", "1", "2"}
    opened.clear()
    more = FeatureStore(
        run(inputs._replace(state=tmp_path / "state", scratch=tmp_path / "second"), PARAMS).image_features
    )
    assert set(opened) == {"3", "4"}
    anew = FeatureStore(run(inputs._replace(scratch=tmp_path / "third"), PARAMS).image_features)
    assert more.params == anew.params
    for view, ids in ((0, list(SPLITS)), (1, ["0", "2", "4"]), (2, ["0", "2", "4"])):
        np.testing.assert_array_equal(more.read(ids, view), anew.read(ids, view))
