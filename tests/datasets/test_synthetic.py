from __future__ import annotations

import io
import re
from collections import Counter

import pytest
from PIL import Image

from ram.datasets import Sample, make_source
from ram.datasets.synthetic import SampleWorld
from ram.datasets.synthetic.grammar import write_captions
from ram.datasets.synthetic.pen import COLORS
from ram.datasets.synthetic.scenes import SCENE_NAMES
from ram.datasets.synthetic.things import ACTIONS, SIZES, THINGS, UNSEEN_COLORS, UNSEEN_THINGS
from ram.datasets.synthetic.world import imagine, rng_of

UNSEEN = (*UNSEEN_THINGS, *UNSEEN_COLORS)


@pytest.fixture(scope="module")
def source() -> SampleWorld:
    made = make_source({"name": "world", "kind": "sample_world"})
    assert isinstance(made, SampleWorld)
    return made


def samples(source: SampleWorld, split: str, first: int, stop: int) -> list[Sample]:
    return [item for item in source.read((split, first, stop)) if isinstance(item, Sample)]


def written(source: SampleWorld, numbers: range, split: str = "train") -> list[tuple[int, list[str]]]:
    return [(n, list(source._captions(n, split))) for n in numbers]


def test_the_world_is_large_enough(source: SampleWorld) -> None:
    assert len(THINGS) - len(UNSEEN_THINGS) >= 48
    assert (len(COLORS), len(SIZES), len(ACTIONS)) == (11, 2, 6)
    assert len(SCENE_NAMES) >= 8
    assert set(source.benchmark().names) == {*THINGS, *COLORS, *SIZES, *ACTIONS, *SCENE_NAMES}


def test_an_image_is_the_same_whatever_was_drawn_before(source: SampleWorld) -> None:
    assert samples(source, "train", 5, 8)[2] == samples(source, "train", 7, 8)[0]


def test_another_seed_draws_other_images(source: SampleWorld) -> None:
    other = SampleWorld(name="world", seed=2)
    assert samples(source, "train", 0, 1)[0].image != samples(other, "train", 0, 1)[0].image


def test_chunks_cover_every_image_once_and_in_its_split() -> None:
    source = SampleWorld(name="world", num_train=150, num_finetune=3, num_dev=0, num_test=101)
    numbers = [(split, number) for split, first, stop in source.chunks([]) for number in range(first, stop)]
    assert [number for _, number in numbers] == list(range(254))
    assert Counter(split for split, _ in numbers) == {"train": 150, "finetune": 3, "test": 101}


def test_images_decode_and_boxes_lie_in_them(source: SampleWorld) -> None:
    for sample in samples(source, "test", 2150, 2170):
        image = Image.open(io.BytesIO(sample.image)).convert("RGB")
        assert 96 <= min(image.size) <= max(image.size) <= 128
        assert sample.labels
        for label in sample.labels:
            assert (label.box is None) == (label.name in SCENE_NAMES or (label.name == "tree" and label.box is None))
            if label.box is not None:
                x0, y0, x1, y1 = label.box
                assert 0 <= x0 < x1 <= 1
                assert 0 <= y0 < y1 <= 1


def test_labels_are_all_that_is_in_the_world(source: SampleWorld) -> None:
    for number, sample in enumerate(samples(source, "train", 0, 10)):
        assert {label.name for label in sample.labels} == source.world(number, "train").names()


def test_what_is_held_back_is_in_no_image_and_no_caption_to_learn_from(source: SampleWorld) -> None:
    words = re.compile(rf"\b({'|'.join(UNSEEN)})(s|es)?\b", re.IGNORECASE)
    for split in ("train", "finetune"):
        for number, captions in written(source, range(1950), split):
            assert not source.world(number, split).names() & set(UNSEEN)
            assert not [caption for caption in captions if words.search(caption)]
    shown = Counter(name for n in range(2150, 2550) for name in source.world(n, "test").names() & set(UNSEEN))
    assert set(shown) == set(UNSEEN)
    assert min(shown.values()) >= 4


def mentioned(caption: str) -> set[str]:
    """The kinds of things that a caption names, by looking for their words."""
    found = set()
    for kind in THINGS.values():
        if any(re.search(rf"\b{re.escape(word)}\b", caption, re.IGNORECASE) for word in (*kind.words, kind.plural)):
            found.add(kind.name)
    return found - ({"bear"} if "teddy bear" in found else set())


def test_noise_is_as_frequent_as_its_params_say() -> None:
    clean = SampleWorld(name="w", omitted_share=0.0, false_share=0.0, foreign_share=0.0)
    for number, captions in written(clean, range(300)):
        present = {thing.kind for thing in clean.world(number, "train").things}
        assert set().union(*map(mentioned, captions)) == present, captions

    false = SampleWorld(name="w", omitted_share=0.0, false_share=0.3, foreign_share=0.0)
    told = [(n, caption) for n, captions in written(false, range(800)) for caption in captions]
    wrong = [1 for n, c in told if mentioned(c) - {thing.kind for thing in false.world(n, "train").things}]
    assert abs(len(wrong) / len(told) - 0.3) < 0.04

    omitting = SampleWorld(name="w", omitted_share=1 / 3, false_share=0.0, foreign_share=0.0)
    named = present = 0
    for number, captions in written(omitting, range(600)):
        kinds = {thing.kind for thing in omitting.world(number, "train").things}
        named += len(kinds & set().union(*map(mentioned, captions)))
        present += len(kinds)
    assert 0.2 < 1 - named / present < 0.4


def test_captions_of_another_image_are_as_frequent_as_the_param_says() -> None:
    plain, mixed = (SampleWorld(name="w", foreign_share=share) for share in (0.0, 0.2))
    pairs = [
        (own, given)
        for (_, owns), (_, givens) in zip(written(plain, range(600)), written(mixed, range(600)), strict=True)
        for own, given in zip(owns, givens, strict=True)
    ]
    assert abs(sum(own != given for own, given in pairs) / len(pairs) - 0.2) < 0.03


def test_captions_vary(source: SampleWorld) -> None:
    captions = [caption for _, captions in written(source, range(1700)) for caption in captions]
    assert 1.5 < len(captions) / 1700 < 2.2
    assert len(set(captions)) > 0.9 * len(captions)
    lengths = [len(caption.split()) for caption in captions]
    assert min(lengths) <= 3
    assert max(lengths) >= 16
    text = " ".join(captions).lower()
    for word in (
        "bike",
        "bicycle",
        "couch",
        "sofa",
        "plane",
        "two",
        "next to",
        "behind",
        "is red",
        "grey",
        "little",
        "drawing of",
    ):
        assert f"{word} " in text, word
    assert "  " not in text
    assert not re.search(r"\ba [aeio]", text), "an article that does not fit"


def test_nothing_is_written_of_what_a_world_has_not(source: SampleWorld) -> None:
    world = imagine(1, 3, allow_unseen=False)
    captions = write_captions(world, rng_of(1, 3, "captions"), omitted_share=0.0, false_share=0.0)
    said = {color for color in COLORS for caption in captions if re.search(rf"\b{color}\b", caption)}
    assert said <= world.names()


@pytest.mark.parametrize(
    "parameters", [{"omitted_share": 1.0}, {"false_share": -0.1}, {"captions": "off"}, {"name": "A B"}]
)
def test_params_that_make_no_sense_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        SampleWorld(**({"name": "w"} | parameters))  # type: ignore[arg-type]
