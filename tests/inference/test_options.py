"""Names, thresholds, hierarchy, evidence and captions of a call."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ram.inference.hierarchy import TagHierarchy
from ram.inference.tagger import Tagger, Thresholds, load
from ram.labels import LabelSystem, Tag
from ram.model.attribution import relevance
from ram.model.build import ModelParams, build_model
from ram.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ram.model.heatmap_to_box import window_of


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def relabeled(checkpoint: Checkpoint, tags: list[Tag]) -> Checkpoint:
    return dataclasses.replace(checkpoint, label_system=LabelSystem(tags))


def test_a_known_tag_keeps_its_threshold_beside_a_new_one(checkpoint: Checkpoint, image: Image.Image) -> None:
    tagger = Tagger(checkpoint, Thresholds(0.0, 0.0, {"dog": 1e-6, "cat": 2e-6}))
    found = {t.name: t for t in tagger(image, tags=["hound", "cats", "red", "zebra crossing"])[0]}
    assert {name: t.threshold for name, t in found.items()} == {
        "hound": 1e-6, "cats": 2e-6, "red": 0.0, "zebra crossing": 0.0,
    }  # fmt: skip
    assert {name: (t.tag, t.kind, t.is_new) for name, t in found.items()} == {
        "hound": ("dog", "object", False), "cats": ("cat", "object", False), "red": ("red", "object", False),
        "zebra crossing": (None, "open", True),
    }  # fmt: skip


def test_a_misspelt_tag_is_a_new_one_and_says_so(checkpoint: Checkpoint, image: Image.Image) -> None:
    tagger = Tagger(checkpoint, Thresholds(1.0, 0.0))
    (tag,) = tagger(image, tags=["beech"])[0]
    assert (tag.name, tag.tag_id, tag.kind, tag.threshold) == ("beech", None, "open", 0.0)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["dog", "dog"], "twice"),
        (["dog", "hound"], "both are the tag 'dog'"),
        (["a zeppelin", "A  zeppelin"], "twice"),
        ([""], "at least one letter"),
        (["dog", " - "], "at least one letter"),
        (["x" * 201], "at most 200 letters, got 201"),
        ([3], "list of names, got 3"),
        (b"dog", "list of names"),
    ],
)
def test_names_that_cannot_be_are_refused(
    checkpoint: Checkpoint, image: Image.Image, tags: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Tagger(checkpoint)(image, tags=tags)


def test_thresholds_of_a_mapping_hold_for_those_it_names(checkpoint: Checkpoint, image: Image.Image) -> None:
    tagger = Tagger(checkpoint, Thresholds(0.0, 0.0))
    scores = {t.name: t.score for t in tagger(image)[0]}
    over = {"hound": min(1.0, scores["dog"] + 1e-4), "cat": scores["cat"] - 1e-4}
    assert {t.name: t.threshold for t in tagger(image, threshold=over)[0]} == {
        "cat": over["cat"], "beach": 0.0, "red": 0.0, "run": 0.0,
    }  # fmt: skip
    assert tagger(image, tags=["a zeppelin"], threshold={"a zeppelin": 1.0, "cat": 0.2})[0] == []
    assert len(tagger(image, threshold={})[0]) == 5


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ({"beech": 0.5}, "neither a tag of the model nor asked for in tags; nearest: beach"),
        ({"qqqq": 0.5}, "no tag is near"),
        ({"dog": 1.5}, "must be in"),
        ({"dog": 0.5, "hound": 0.6}, "two values"),
        ({3: 0.5}, "neither a tag"),
        (float("nan"), "must be in"),
        (True, "must be in"),
        ("0.5", "must be in"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(
    checkpoint: Checkpoint, image: Image.Image, threshold: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Tagger(checkpoint)(image, threshold=threshold)  # type: ignore[arg-type]


FAMILY = [
    Tag(tag_id=0, name="animal"),
    Tag(tag_id=1, name="dog", parents=("animal",)),
    Tag(tag_id=2, name="puppy", parents=("dog", "animal")),
    Tag(tag_id=3, name="surfer"),
    Tag(tag_id=4, name="surfboard"),
]


def scores_of(tagger: Tagger, image: Image.Image) -> dict[str, float]:
    return dict(zip(tagger.label_system.names, tagger.scores([image])[0].tolist(), strict=True))


def only(*names: str) -> Thresholds:
    return Thresholds(1.0, 1.0, dict.fromkeys(names, 0.0))


def test_the_most_specific_tags_are_those_no_other_found_one_is_a_kind_of(
    checkpoint: Checkpoint, image: Image.Image
) -> None:
    def said(*found: str) -> set[str]:
        tagger = Tagger(relabeled(checkpoint, FAMILY), only(*found))
        return {t.name for t in tagger(image, hierarchy="most_specific")[0]}

    assert said("animal", "dog", "puppy", "surfer", "surfboard") == {"puppy", "surfer", "surfboard"}
    assert said("animal", "dog") == {"dog"}
    assert said("animal", "surfboard") == {"animal", "surfboard"}
    assert said() == set()


def test_what_is_implied_comes_along_no_less_sure_than_what_implies_it(
    checkpoint: Checkpoint, image: Image.Image
) -> None:
    tagger = Tagger(relabeled(checkpoint, FAMILY), only("puppy", "surfer"))
    scores = scores_of(tagger, image)
    found = {t.name: t for t in tagger(image, hierarchy="add_implied")[0]}
    assert {n: t.implied_by for n, t in found.items()} == {
        "puppy": None, "surfer": None, "dog": "puppy", "animal": "puppy", "surfboard": "surfer",
    }  # fmt: skip
    for name, tag in found.items():
        wanted = scores[name] if tag.implied_by is None else max(scores[name], scores[tag.implied_by])
        assert tag.score == pytest.approx(wanted, abs=1e-6)
    assert [t.score for t in tagger(image, hierarchy="add_implied")[0]] == sorted(
        (t.score for t in found.values()), reverse=True
    )
    asked = tagger(
        image, tags=["puppy", "animal", "a zeppelin"], threshold={"a zeppelin": 0.0}, hierarchy="add_implied"
    )
    assert {t.name for t in asked[0]} == {"puppy", "animal", "a zeppelin"}


def test_top_k_counts_after_the_hierarchy(checkpoint: Checkpoint, image: Image.Image) -> None:
    tagger = Tagger(relabeled(checkpoint, FAMILY), only("animal", "dog", "puppy"))
    assert [t.name for t in tagger(image, hierarchy="most_specific", top_k=1)[0]] == ["puppy"]


def test_parents_in_a_circle_have_an_end() -> None:
    labels = LabelSystem([Tag(tag_id=0, name="a", parents=("b",)), Tag(tag_id=1, name="b", parents=("a", "gone"))])
    assert TagHierarchy(labels).implied([0]) == {1: 0}
    assert TagHierarchy(labels).most_specific([0]) == [0]


@pytest.fixture
def aligned(tmp_path: Path, params: ModelParams) -> Checkpoint:
    params = dataclasses.replace(params, text_alignment=True, caption=None, image_size=64)
    embedding_KE = torch.nn.functional.normalize(torch.randn(5, 256, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(("dog", "cat", "beach", "red", "run"))])
    save_checkpoint(tmp_path / "aligned", build_model(params, embedding_KE, seed=1), labels)
    return load_checkpoint(tmp_path / "aligned")


@pytest.mark.parametrize("explain", [True, "alignment", "occlusion", "attention"])
def test_evidence_is_the_models_relevance_and_the_window_around_it(aligned: Checkpoint, explain: bool | str) -> None:
    tagger, model = Tagger(aligned), aligned.model
    some = list(np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))
    found = tagger(some, tags=["cat", "a zeppelin", "run"], threshold=0.0, explain=explain)
    kind = "alignment" if explain is True else str(explain)
    batch = torch.stack([model.preprocess(Image.fromarray(image)) for image in some])
    with torch.inference_mode():
        features = tagger.fast.encoder.trunk(batch)
        tokens, grid = tagger.fast.encoder.tail(features), tagger.fast.encoder.grid(features)
        for place, tags in enumerate(found):
            assert {t.name for t in tags} == {"cat", "a zeppelin", "run"}
            # In the same order: the maps of a model that was never trained are not far above rounding.
            embedding_KE = tagger._wanted([t.name for t in tags]).embedding_KE
            rows = torch.zeros(3, dtype=torch.long)
            maps = relevance(kind, model, tokens[place][None], rows, embedding_KE, grid)
            boxes, finds = window_of(maps, 0.3)
            for k, tag in enumerate(tags):
                np.testing.assert_allclose(tag.map, maps[k], rtol=1e-3, atol=1e-6)
                assert (tag.box is not None) == bool(finds[k])
                if tag.box is not None:
                    assert tag.box == pytest.approx(boxes[k].tolist(), abs=1e-5)


def test_images_without_tags_have_no_evidence_and_no_explain_has_none(aligned: Checkpoint) -> None:
    tagger, image = Tagger(aligned), np.zeros((8, 8, 3), np.uint8)
    assert tagger(image, threshold=1.0, explain=True) == [[]]
    assert all(t.map is None and t.box is None for t in tagger(image, threshold=0.0)[0])


def test_evidence_that_the_model_cannot_give_is_refused(checkpoint: Checkpoint, image: Image.Image) -> None:
    with pytest.raises(ValueError, match="known: True, False, alignment, occlusion, attention"):
        Tagger(checkpoint)(image, explain="gradients")
    with pytest.raises(ValueError, match="not aligned with texts; use occlusion"):
        Tagger(checkpoint)(image, explain="alignment")
    assert Tagger(checkpoint)(image, threshold=0.0, explain=True)[0][0].map is not None


def test_captions_are_those_of_the_model_told_the_found_tags(checkpoint: Checkpoint, image: Image.Image) -> None:
    model = checkpoint.model
    (tags,) = Tagger(checkpoint)(image, threshold=0.0, top_k=2, captions=True)
    with torch.inference_mode():
        tokens = model.encode(model.preprocess(image)[None])
        wanted, _ = model.generate_captions(tokens, [[t.name for t in tags]], num_beams=3, min_tokens=5)
    assert tags.caption == wanted[0]
    assert len(tags) == 2
    assert Tagger(checkpoint)(image)[0].caption is None
    assert isinstance(Tagger(checkpoint)(image, threshold=1.0, captions=True)[0].caption, str)


def test_tags_that_captions_leave_out_are_not_told(checkpoint: Checkpoint, image: Image.Image, monkeypatch) -> None:
    told: list[list[list[str]]] = []
    original = checkpoint.model.generate_captions
    monkeypatch.setattr(
        checkpoint.model, "generate_captions", lambda t, texts, **o: told.append(texts) or original(t, texts, **o)
    )
    silent = dataclasses.replace(checkpoint, extra={"not_in_captions": [0, 2]})
    Tagger(silent)(image, threshold=0.0, captions=True)
    assert set(told[0][0]) == {"cat", "red", "run"}


def test_captions_of_a_model_without_the_branch_are_refused(aligned: Checkpoint, image: Image.Image) -> None:
    with pytest.raises(ValueError, match=r"no caption branch.*--captions"):
        Tagger(aligned)(image, captions=True)


def test_a_score_is_told_as_a_probability_where_the_checkpoint_is_calibrated(
    checkpoint: Checkpoint, image: Image.Image
) -> None:
    document = {
        "default": 0.0, "open_set": 0.0, "temperature": 2.0, "bias": -1.0, "open_set_calibration": {"temperature": 4.0},
    }  # fmt: skip
    tagger = Tagger(checkpoint, Thresholds.from_json(document))
    for tag in tagger(image, tags=["dog", "a zeppelin"])[0]:
        logit = np.log(tag.score / (1 - tag.score))
        wanted = logit / 4 if tag.is_new else logit / 2 - 1
        assert tag.probability == pytest.approx(1 / (1 + np.exp(-wanted)), rel=1e-5)
    isotonic = document | {
        "isotonic": {"scores": [0.0, 1.0], "probabilities": [0.2, 0.4]},
        "open_set_calibration": None,
    }
    for tag in Tagger(checkpoint, Thresholds.from_json(isotonic))(image, tags=["dog", "a zeppelin"])[0]:
        assert tag.probability == (None if tag.is_new else pytest.approx(0.2 + 0.2 * tag.score))
    assert load(checkpoint.directory)(image, threshold=0.0)[0][0].probability is None
