from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from ram.data_engine.generate import Generator, caption_parser, captioned_histogram, labeled_histogram
from ram.data_engine.sparse_scores import SparseScores, keep_highest
from ram.data_engine.tag_lists import TRUST, Known
from ram.data_engine.thresholds import NEVER, ScoreHistogram
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact

SCORES_BK = np.array([[0.9, 0.2, 0.7, 0.6], [0.1, 0.8, 0.3, 0.95], [0.05, 0.1, 0.1, 0.1]], np.float32)
IDS = ["a", "b", "c"]
TOP_K, FLOOR = 3, 0.15


def known(*rows: tuple[int, int, str]) -> Known:
    image, tag_id, origin = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(image, int), np.array(tag_id, int), np.array([TRUST.index(o) for o in origin], int)


def kept(own: Known, scores_BK: np.ndarray = SCORES_BK) -> SparseScores:
    return keep_highest(IDS, scores_BK, TOP_K, FLOOR, own[:2])


def generator(parse: Any = None, max_added: int = 2) -> Generator:
    return Generator(
        threshold_K=np.array([0.5, 0.5, 0.65, NEVER]),
        max_added=max_added,
        captioned_threshold_K=np.array([0.0, 0.3, 0.4, 0.0]),
        top_k=TOP_K,
        floor=FLOOR,
        parse=parse,
    )


def test_every_image_and_tag_has_one_row_with_its_most_trusted_origin_and_the_models_score() -> None:
    own = known((0, 1, "caption"), (0, 0, "caption"), (1, 2, "implied"), (2, 3, "caption"))
    parse = lambda captions: [["wxyz".index(w) for w in caption.split()] for caption in captions]  # noqa: E731
    tags = generator(parse).rows(kept(own), ["x z", "w z y", "w"], own)
    rows = {(r.image_id, r.tag_id): (r.origin, round(r.score, 3), round(r.image_score, 3)) for r in tags.itertuples()}
    assert len(rows) == len(tags)
    assert rows == {
        ("a", 0): ("caption", 1.0, 0.9),
        ("a", 1): ("caption", 1.0, 0.2),
        ("a", 2): ("predicted", 0.7, 0.7),
        ("a", 3): ("generated_caption", 0.6, 0.6),
        ("b", 0): ("generated_caption", 0.0, 0.0),  # not kept, and its threshold is 0
        ("b", 1): ("predicted", 0.8, 0.8),
        ("b", 2): ("implied", 1.0, 0.3),
        ("b", 3): ("generated_caption", 0.95, 0.95),
        ("c", 0): ("generated_caption", 0.0, 0.0),
        ("c", 3): ("caption", 1.0, 0.1),
    }
    assert tags["image_id"].is_monotonic_increasing
    schema = artifact("generated_tags").schema
    assert schema is not None
    assert pa.Table.from_pandas(tags.assign(model_version="v"), schema=schema).num_rows == len(rows)


def test_predicted_tags_reach_their_own_threshold_and_the_highest_come_first_where_there_are_too_many() -> None:
    for most, expected in (
        (9, {("a", 0), ("a", 2), ("b", 1)}), (1, {("a", 0), ("b", 1)}), (0, set()),
    ):  # fmt: skip
        tags = generator(max_added=most).rows(kept(known()), [], known())
        assert set(zip(tags["image_id"], tags["tag_id"], strict=True)) == expected
        assert set(tags["origin"]) <= {"predicted"}


def test_counts_of_kept_scores_are_those_of_all_scores_wherever_a_threshold_can_lie() -> None:
    generator = np.random.default_rng(0)
    scores_BK = generator.random((3, 4)).astype(np.float16).astype(np.float32)
    positive_BK = generator.random((3, 4)) < 0.5
    known_BK = generator.random((3, 4)) < 0.8
    images, tags = np.nonzero(positive_BK)
    own = (images, tags, np.zeros(len(tags), int))
    everything = ScoreHistogram(4)
    everything.add(scores_BK, positive_BK)
    whole = keep_highest(IDS, scores_BK, 4, FLOOR, own[:2])
    captioned = captioned_histogram([(whole, own)], 4, FLOOR, 4)
    truth = SimpleNamespace(targets=lambda ids, num_tags: (positive_BK, known_BK))
    labeled = labeled_histogram([whole], truth, 4)  # type: ignore[arg-type]
    of_known = ScoreHistogram(4)
    of_known.add(scores_BK, positive_BK, known_BK)
    above = ScoreHistogram.edges() >= FLOOR
    for found, expected in ((captioned, everything), (labeled, of_known)):
        for name in ("totals_KT", "positives_KT"):
            assert getattr(found, name)[:, above].tolist() == getattr(expected, name)[:, above].tolist()
            assert getattr(found, name).sum(1).tolist() == getattr(expected, name).sum(1).tolist()


def test_a_score_that_would_not_be_generated_from_counts_for_no_threshold() -> None:
    own = known((0, 1, "caption"))  # kept for its image alone: three others are higher
    histogram = captioned_histogram([(kept(own), own)], TOP_K, FLOOR, 4)
    place = np.flatnonzero(histogram.positives_KT[1])
    assert place.tolist() == [0]
    assert histogram.totals_KT.sum(1).tolist() == [3, 3, 3, 3]


def test_generated_captions_are_read_like_given_ones_with_the_parents_of_their_tags_if_wanted() -> None:
    tags = LabelSystem(
        [
            Tag(tag_id=0, name="animal"),
            Tag(tag_id=1, name="dog", synonyms=("hound",), parents=("animal",)),
            Tag(tag_id=2, name="red", kind="attribute"),
        ]
    )
    assert caption_parser(tags, implied_parents=False)(["two hounds and a red ball", ""]) == [[1, 2], []]
    assert caption_parser(tags, implied_parents=True)(["a dog"]) == [[0, 1]]
