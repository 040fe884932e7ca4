from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from ram.inference.tagger import load
from ram.serving import models as module
from ram.serving.images import decode
from ram.serving.limits import Refused
from ram.serving.models import Models, Options, ServedModel, from_folder, from_registry
from ram.serving.server import ServerParams, create_app

Make = Callable[..., Any]


def _images(count: int) -> list[bytes]:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(count):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


@pytest.mark.parametrize(
    "options",
    [Options(), Options(threshold=0.0, top_k=1), Options(tags=("hound", "zeppelin"), threshold=0.0)],
    ids=["own", "top", "new"],
)
def test_a_served_model_says_what_the_tagger_says(write_checkpoint: Make, tmp_path: Path, options: Options) -> None:
    directory = write_checkpoint(tmp_path / "a")
    served, images = ServedModel(directory), _images(3)
    found = served.tag([decode(image, served.preprocess, 10_000) for image in images], options)
    tags = None if options.tags is None else list(options.tags)
    wanted = load(directory)(images, tags=tags, threshold=options.threshold, top_k=options.top_k)
    assert [[row["name"] for row in rows] for rows in found] == [[tag.name for tag in tags] for tags in wanted]
    for rows, scores in zip(found, wanted, strict=True):
        assert [row["score"] for row in rows] == pytest.approx([tag.score for tag in scores], abs=1e-4)
        assert [row["threshold"] for row in rows] == pytest.approx([tag.threshold for tag in scores], abs=1e-4)
        expected = [(None if tag.is_new else tag.kind, tag.tag_id) for tag in scores]
        assert [(row["kind"], row["tag_id"]) for row in rows] == expected


@pytest.mark.parametrize("aligned", [False, True])
def test_the_best_tags_and_new_ones_have_their_place(write_checkpoint: Make, tmp_path: Path, aligned: bool) -> None:
    served = ServedModel(write_checkpoint(tmp_path / "a", aligned=aligned))
    image = decode(_images(1)[0], served.preprocess, 10_000)
    (rows,) = served.tag([image], Options(tags=("zeppelin", "dog", "cloud"), threshold=0.0, num_explained=2))
    assert ["place" in row for row in rows] == [True, True, False]
    for row in rows[:2]:
        cells = np.array(row["place"]["cells"])
        assert cells.ndim == 2
        assert (cells.min() >= 0, cells.max() <= 1) == (True, True)
        x0, y0, x1, y1 = row["place"]["box"]
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
    (explained,) = load(tmp_path / "a")(image, tags=["zeppelin", "dog", "cloud"], threshold=0.0, explain=True)
    for row, tag in zip(rows[:2], explained, strict=False):
        assert row["name"] == tag.name
        assert tag.map is not None
        assert row["place"]["box"] == pytest.approx(tag.box or (0, 0, 1, 1), abs=1e-5)
        above = np.maximum(tag.map - tag.map.mean(), 0)
        np.testing.assert_allclose(row["place"]["cells"], above / above.max(), atol=2e-3)


@pytest.mark.parametrize("aligned", [False, True])
def test_the_place_of_a_tag_does_not_depend_on_what_else_is_asked(
    write_checkpoint: Make, tmp_path: Path, aligned: bool
) -> None:
    served = ServedModel(write_checkpoint(tmp_path / "a", aligned=aligned))
    image = decode(_images(1)[0], served.preprocess, 10_000)

    def place(*tags: str) -> Any:
        (rows,) = served.tag([image], Options(tags=tags, threshold=0.0, num_explained=9))
        return next(row["place"] for row in rows if row["name"] == "dog")

    alone, among = place("dog"), place("zeppelin", "dog")
    assert alone["box"] == among["box"]
    np.testing.assert_allclose(alone["cells"], among["cells"], atol=2e-3)


def test_the_labels_are_those_of_the_model_with_the_thresholds_it_goes_by(
    write_checkpoint: Make, tmp_path: Path
) -> None:
    document = json.loads(ServedModel(write_checkpoint(tmp_path / "a")).labels)
    assert [(label["name"], label["threshold"]) for label in document["labels"]] == [("dog", 0.0), ("<b>cat</b>", 0.4)]
    assert document["open_set_threshold"] == 0.3
    assert document["labels"][0]["synonyms"] == ["hound"]


class _Registry:
    """Folders by alias, which move; and the models that were loaded from them."""

    def __init__(self, make: Make, **aliases: str | None) -> None:
        self.aliases = aliases
        self.loaded: list[str] = []
        self._make = make
        self.away = False

    def models(self, **options: Any) -> Models:
        def find(name: str) -> Path | None:
            if self.away:
                raise ConnectionError("the registry is away")
            folder = self.aliases.get(name)
            return None if folder is None else Path(folder)

        def load_(directory: Path) -> Any:
            if directory.name == "broken":
                raise ValueError("half a checkpoint")
            self.loaded.append(directory.name)
            return self._make(directory, directory.name)

        return Models({name: (lambda name=name: find(name)) for name in module.NAMES}, load_, **options)


def test_a_model_that_moves_is_loaded_and_one_that_stays_is_not_loaded_again(color_model: Make) -> None:
    registry = _Registry(color_model, champion="one", challenger="two")
    models = registry.models()
    models.load()
    assert not asyncio.run(models.refresh("champion"))
    registry.aliases["champion"] = "two"  # promoted: served already, under the other name
    assert asyncio.run(models.refresh("champion"))
    assert models.get("champion") is models.get("challenger")
    assert registry.loaded == ["one", "two"]
    registry.aliases["challenger"] = None
    assert asyncio.run(models.refresh("challenger"))
    assert models.versions() == {"champion": "two"}
    with pytest.raises(Refused, match="no model 'challenger'"):
        models.get("challenger")


def test_without_a_champion_nothing_is_served(color_model: Make) -> None:
    with pytest.raises(ValueError, match="no champion"):
        _Registry(color_model, challenger="two").models().load()


def test_the_old_model_goes_on_while_the_registry_is_away_or_the_new_one_is_broken(color_model: Make) -> None:
    registry = _Registry(color_model, champion="one")
    told: list[tuple[str, str]] = []
    models = registry.models(on_reload=lambda name, outcome: told.append((name, outcome)))
    models.load()

    async def follow() -> None:
        task = asyncio.ensure_future(models.follow(0.01))
        for step in range(4):
            count = len(told)
            registry.away = step == 0
            registry.aliases["champion"] = ["one", "broken", None, "three"][step]
            while len(told) == count or (step == 3 and ("champion", "loaded") not in told):
                await asyncio.sleep(0.01)
            assert models.versions()["champion"] == ("three" if step == 3 else "one")
        task.cancel()

    asyncio.run(asyncio.wait_for(follow(), 60))
    assert ("champion", "failed") in told


def test_no_request_is_lost_while_the_champion_moves_again_and_again(color_model: Make, make_image: Make) -> None:
    registry = _Registry(color_model, champion="v0")
    models = registry.models()
    models.load()
    app = create_app(models, ServerParams(refresh_s=0.01))
    seen: set[str] = set()
    with TestClient(app) as client, ThreadPoolExecutor(4) as pool:
        end_s = time.monotonic() + 60

        def ask(_: int) -> None:
            version = -1
            while len(registry.loaded) < 6:
                assert time.monotonic() < end_s
                answer = client.post("/v1/tags", files=[("image", ("p", make_image()))])
                assert answer.status_code == 200
                assert int(answer.json()["model_version"][1:]) >= version, "an older model never comes back"
                version = int(answer.json()["model_version"][1:])
                seen.add(answer.json()["model_version"])

        asking = [pool.submit(ask, i) for i in range(4)]
        for i in range(1, 6):
            while f"v{i - 1}" not in seen:  # however slow the machine is, every version but the last has answered
                assert time.monotonic() < end_s
                time.sleep(0.01)
            before = len(registry.loaded)
            registry.aliases["champion"] = f"v{i}"
            while len(registry.loaded) == before:
                assert time.monotonic() < end_s
                time.sleep(0.01)
        for future in asking:
            future.result()
    assert {f"v{i}" for i in range(5)} <= seen


@pytest.mark.usefixtures("fake_tagger")
def test_the_registrys_alias_is_followed_to_its_folder(
    finished_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from ram.registry import packaging, publish

    def save(checkpoint: Path, path: Path, description: object) -> None:
        shutil.copytree(checkpoint, path / "artifacts" / packaging.CHECKPOINT)

    monkeypatch.setattr(packaging, "save", save)
    monkeypatch.setattr(packaging, "try_out", lambda path: None)
    find = {alias: from_registry(alias, finished_workspace()) for alias in module.NAMES}
    assert [find["champion"](), find["challenger"]()] == [None, None]
    workspace = finished_workspace(0.5, b"one")
    publish.register(workspace)
    assert find["champion"]() is None
    publish.promote(workspace)
    first = find["champion"]()
    assert (first / "model.safetensors").read_bytes() == b"one"
    assert find["challenger"]() == first == find["champion"]()
    workspace = finished_workspace(0.9, b"two")
    publish.register(workspace)
    assert (find["challenger"]() / "model.safetensors").read_bytes() == b"two"
    publish.promote(workspace)
    assert find["champion"]() == find["challenger"]() != first


def test_a_registry_that_is_away_is_not_a_registry_without_a_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = pytest.importorskip("ram.tracking.server")

    def model_dir(uri: str, workspace: Path) -> Path:
        raise ValueError("the registry has no model") from ConnectionError("refused")

    monkeypatch.setattr(tracking, "model_dir", model_dir)
    with pytest.raises(ValueError):
        from_registry("champion", tmp_path)()
    assert from_folder(tmp_path)() == tmp_path
