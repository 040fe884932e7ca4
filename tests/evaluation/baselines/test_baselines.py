from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import published_models as published
import pytest
import torch
from evaluated import World, make_world, tiny_clip

from ram.cli.import_checkpoint import convert
from ram.evaluation.baselines import NameScorer, Settings, make_scorer
from ram.evaluation.baselines.captions import read_captions
from ram.evaluation.baselines.probe import fit_logistic
from ram.evaluation.label_formats import describe
from ram.evaluation.mapping import MappedName
from ram.inference.tagger import load
from ram.io.images import open_image
from ram.labels import LabelSystem, Tag
from ram.reports.comparison import map_names, open_benchmark


@pytest.fixture(scope="module")
def world(drawn_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("evaluated") / "world", drawn_workspace)


def asked_of(world: World, scorer: NameScorer, captions: Path | None = None) -> tuple[list[str], np.ndarray]:
    paths = {"images": str(world.images), "captions": str(captions or world.captions)}
    description = describe("table", labels=[str(world.labels)], **paths)
    benchmark = open_benchmark(description, with_images=True)
    mapping = map_names(scorer, benchmark, None)
    return list(benchmark.asked.images), np.concatenate(list(scorer.scores(benchmark.asked, mapping)))


def names_of(world: World) -> list[str]:
    return list(open_benchmark(describe("table", labels=[str(world.labels)]), with_images=False).labeled.names)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_a_checkpoint_scores_as_its_tagger_does(world: World, batch_size: int) -> None:
    scorer = make_scorer(str(world.model), Settings(batch_size=batch_size))
    images, scores = asked_of(world, scorer)
    expected = load(world.model).scores([world.images / p for p in images], names_of(world))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_name_of_several_tags_has_the_highest_score_and_the_lowest_threshold(world: World, tmp_path: Path) -> None:
    scorer = make_scorer(str(world.model), Settings())
    tags = {tag.name: tag for tag in scorer.label_system}
    names = [
        MappedName("x", (tags["ball"],), ""),
        MappedName("y", (tags["box"], tags["red"]), ""),
        MappedName("ball_box", (), ""),
    ]
    benchmark = open_benchmark(
        describe("table", labels=[str(world.labels)], images=str(world.images)), with_images=True
    )
    scores = np.concatenate(list(scorer.scores(benchmark.asked, names)))
    tagger = load(world.model)
    files = [world.images / p for p in benchmark.asked.images]
    own = tagger.scores(files, ["ball", "box", "red", "ball box"])
    np.testing.assert_allclose(scores, np.stack([own[:, 0], own[:, 1:3].max(axis=1), own[:, 3]], axis=1), atol=1e-5)
    thresholds, _ = scorer.thresholds(names)
    of = scorer.tagger.thresholds.of
    assert thresholds.tolist() == [of(tags["ball"]), min(of(tags["box"]), of(tags["red"])), of(None)]


@pytest.mark.parametrize("family", ["ram", "ram_plus"])
def test_an_imported_published_model_is_a_checkpoint_like_any_other(world: World, tmp_path: Path, family: str) -> None:
    names = names_of(world)
    listed = [*names, *(f"other {i}" for i in range(12 - len(names)))]
    (tmp_path / "tags.txt").write_text("\n".join(listed))
    torch.save({"model": published.random_tensors(family)}, tmp_path / "published.pth")
    convert(tmp_path / "published.pth", tmp_path / "model", tag_list=tmp_path / "tags.txt")
    scorer = make_scorer(str(tmp_path / "model"), Settings())
    images, scores = asked_of(world, scorer)
    reference = published.Reference(family, published.random_tensors(family), 12)
    preprocess = scorer.checkpoint.model.preprocess
    inputs = torch.stack([preprocess(open_image((world.images / p).read_bytes(), min_size=32)) for p in images])
    expected = 1 / (1 + np.exp(-reference.logits(inputs)[:, : len(names)]))
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert scorer.thresholds([MappedName(names[0], (scorer.label_system[0],), "name")])[0].tolist() == [0.68]


def test_the_prior_is_the_share_of_mentions_whatever_the_image(world: World) -> None:
    _, scores = asked_of(world, make_scorer(f"prior:{world.model}", Settings()))
    frequency = {
        tag.name: tag.frequency
        for tag in LabelSystem.from_json(json.loads((world.model / "label_system.json").read_text()))
    }
    expected = [frequency["tree" if name == "trees" else name] / max(frequency.values()) for name in names_of(world)]
    np.testing.assert_allclose(scores, np.tile(expected, (len(scores), 1)), rtol=1e-6)


def test_a_prior_without_frequencies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "label_system.json").write_text(json.dumps(LabelSystem([Tag(tag_id=0, name="dog")]).to_json()))
    with pytest.raises(ValueError, match="has no frequencies"):
        make_scorer(f"prior:{tmp_path / 'label_system.json'}", Settings())


def test_captions_say_what_they_name_and_its_kinds(world: World, tmp_path: Path) -> None:
    scorer = make_scorer(f"captions:{world.model}", Settings())
    images = list(open_benchmark(describe("table", labels=[str(world.labels)]), with_images=False).asked.images)
    said = [["a red ball on paper", "a thing"], ["two trees"], []]
    lines = [{"id": Path(p).stem, "captions": c} for p, c in zip(images, said, strict=False)]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    _, scores = asked_of(world, scorer, tmp_path / "c.jsonl")
    found = [dict(zip(names_of(world), row, strict=True)) for row in scores.tolist()]
    assert {name: s for name, s in found[0].items() if s} == {"ball": 0.5, "red": 0.5, "toy": 0.5}  # a ball is a toy
    assert {name: s for name, s in found[1].items() if s} == {"trees": 1.0}
    assert not any(found[2].values())


def test_without_any_caption_there_is_nothing_to_parse(world: World, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": "elsewhere", "captions": ["a ball"]}))
    with pytest.raises(ValueError, match="no image of the benchmark has a caption"):
        asked_of(world, make_scorer(f"captions:{world.model}", Settings()), tmp_path / "c.jsonl")


def test_captions_come_from_coco_json_lines_and_tables(tmp_path: Path) -> None:
    annotations = [{"image_id": 1, "caption": "x"}, {"image_id": 1, "caption": "y"}]
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": annotations}
    (tmp_path / "c.json").write_text(json.dumps(coco))
    (tmp_path / "c.jsonl").write_text('{"id": "a", "captions": ["x", "y"]}\n')
    (tmp_path / "c.csv").write_text("image,caption\na.jpg,x\na.jpg,y\n")
    for name in ("c.json", "c.jsonl", "c.csv"):
        assert read_captions(str(tmp_path / name), ["val/a.jpg", "b.jpg"]) == {"val/a.jpg": ["x", "y"]}, name


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_clip_scores_are_those_of_transformers(
    world: World, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    from ram.model import templates

    monkeypatch.setitem(
        templates.TEMPLATES, "ram", templates.PLAIN
    )  # one prompt: transformers' own forward is the reference
    folder = tiny_clip(tmp_path / family, family)
    photos, scores = asked_of(world, make_scorer(f"clip:{folder}", Settings(batch_size=5)))
    model = AutoModel.from_pretrained(folder).eval()
    images = AutoImageProcessor.from_pretrained(folder)(
        images=[Image.open(world.images / p).convert("RGB") for p in photos], return_tensors="pt"
    )
    texts = AutoTokenizer.from_pretrained(folder)(
        names_of(world), padding="max_length", max_length=32, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = model(**images, input_ids=texts["input_ids"], attention_mask=texts["attention_mask"]).logits_per_image
        expected = (1 + logits / model.logit_scale.exp()) / 2 if family == "clip" else logits.sigmoid()
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)
    assert scores.std() > 0


def test_a_folder_that_is_no_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot load CLIP from"):
        make_scorer(f"clip:{tmp_path}", Settings())


@pytest.fixture
def train(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(f"name: drawn\nformat: table\nlabels: {world.labels}\nimages: {world.images}\n")
    return path


def test_a_probe_learns_what_it_is_shown(world: World, train: Path) -> None:
    scorer = make_scorer(f"probe:{world.model}", Settings(train=describe(str(train)), seed=1))
    images, scores = asked_of(world, scorer)
    labels = {(row.split(",")[0], row.split(",")[1]) for row in world.labels.read_text().splitlines()[1:]}
    positive = np.array([[(p, n) in labels for n in names_of(world)] for p in images])
    # judged on what it learned: 18 images in 512 channels can be told apart
    assert scores[positive].mean() > scores[~positive].mean() + 0.3
    assert scorer.facts()["num_train"] == len(images)


def test_a_probe_refuses_names_that_no_label_teaches(world: World, train: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(world.labels.read_text().replace(",red", ",crimson"))
    train.write_text(train.read_text().replace(str(world.labels), str(tmp_path / "labels.csv")))
    scorer = make_scorer(f"probe:{world.model}", Settings(train=describe(str(train))))
    with pytest.raises(ValueError, match=r"1 names have no positive among the training labels \(red\)"):
        asked_of(world, scorer)
    with pytest.raises(ValueError, match="a linear probe learns from labels"):
        make_scorer(f"probe:{world.model}", Settings())


def test_the_probes_fit_is_scikit_learns_where_all_labels_are_known() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 4))
    target = (features @ [[1.0], [-2.0], [0.5], [0.0]] + generator.logistic(size=(200, 1)) > 0).astype(np.int8)
    weight, bias = fit_logistic(torch.tensor(features).float(), torch.tensor(target), 0.01)
    reference = LogisticRegression(C=1 / (0.01 * 200), tol=1e-8, max_iter=1000).fit(features, target[:, 0])
    np.testing.assert_allclose(weight[0], reference.coef_[0], atol=2e-3)
    np.testing.assert_allclose(bias[0], reference.intercept_[0], atol=2e-3)
    unknown = torch.tensor(target)
    unknown[100:] = -1
    fewer = fit_logistic(torch.tensor(features[:100]).float(), torch.tensor(target[:100]), 0.01)
    for one, other in zip(fit_logistic(torch.tensor(features).float(), unknown, 0.01), fewer, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_a_kind_without_a_source_is_refused() -> None:
    with pytest.raises(ValueError, match="wants a source behind the colon, as in clip:FOLDER"):
        make_scorer("clip:", Settings())
