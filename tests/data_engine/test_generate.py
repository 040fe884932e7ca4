from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ram.catalog import artifact
from ram.data_engine.generate import TRUST, CaptionParams, Generator, TagLists, caption_parser, sure_tags
from ram.data_engine.thresholds import NEVER
from ram.label_system import LabelSystem, Tag
from ram.storage import Table, TableWriter

SCORES = {"a": [0.9, 0.2, 0.7, 0.6], "b": [0.1, 0.8, 0.3, 0.95], "c": [0.05, 0.1, 0.1, 0.1]}


class FakeScorer:
    """Gives the scores above, whatever the pictures."""

    def __init__(self) -> None:
        self.fast = SimpleNamespace(scores=lambda tokens: tokens[:, 0].double().numpy())
        self.model = SimpleNamespace(generate_captions=self._write)
        self.checkpoint = SimpleNamespace(label_system=SimpleNamespace(names=["w", "x", "y", "z"]))
        self.given: list[list[str]] = []

    def _write(self, tokens: torch.Tensor, tag_texts: list[list[str]], **_: Any) -> tuple[list[str], list[float]]:
        self.given += tag_texts
        return [" ".join(texts) for texts in tag_texts], [-1.0] * len(tag_texts)

    def tokens(self, ids: Sequence[str], size: int) -> Iterator[tuple[list[str], torch.Tensor, tuple[int, int]]]:
        for start in range(0, len(ids), size):
            mine = list(ids[start : start + size])
            yield mine, torch.tensor([[SCORES[i]] for i in mine]), (1, 1)


def parsed(tmp_path: Path, rows: list[tuple[str, int, str]]) -> Table:
    schema = artifact("parsed_tags").schema
    assert schema is not None
    with TableWriter(tmp_path / "parsed_tags", schema, rows_per_part=2) as writer:
        for image_id, tag_id, origin in rows:
            row = {"image_id": image_id, "tag_id": tag_id, "origin": origin, "score": 1.0, "caption_indices": [0]}
            writer.write([row])
    return Table(tmp_path / "parsed_tags", schema)


def test_the_tags_of_a_stretch_of_pictures_are_those_of_the_table_in_the_order_of_the_pictures(tmp_path: Path) -> None:
    table = parsed(tmp_path, [("c", 1, "caption"), ("a", 3, "implied"), ("other", 0, "caption"), ("a", 0, "human")])
    lists = TagLists(table, ["a", "b", "c"])
    picture, tag_ids, trust = lists.of(0, 3)
    assert [(p, t, TRUST[o]) for p, t, o in zip(picture, tag_ids, trust, strict=True)] == [
        (0, 3, "implied"), (0, 0, "human"), (2, 1, "caption"),
    ]  # fmt: skip
    picture, tag_ids, _ = lists.of(1, 3)
    assert (picture.tolist(), tag_ids.tolist()) == ([1], [1])


def test_sure_tags_reach_their_own_threshold_and_the_highest_come_first_where_there_are_too_many() -> None:
    scores_BK = np.array([[0.9, 0.8, 0.7, 0.6], [0.2, 0.8, 0.1, 0.3]])
    threshold_K = np.array([0.5, 0.5, 0.5, NEVER])
    for max_tags, expected in ((9, {(0, 0), (0, 1), (0, 2), (1, 1)}), (2, {(0, 0), (0, 1), (1, 1)}), (0, set())):
        assert set(zip(*(x.tolist() for x in sure_tags(scores_BK, threshold_K, max_tags)), strict=True)) == expected


def generator(scorer: Any, caption: CaptionParams | None, parse: Any = None) -> Generator:
    return Generator(
        scorer=scorer,
        threshold_K=np.array([0.5, 0.5, 0.65, 0.5]),
        max_added=2,
        caption=caption,
        captioned_threshold_K=np.array([0.0, 0.0, 0.4, 0.0]),
        parse=parse,
        batch_size=2,
    )


def test_every_image_and_tag_has_one_row_with_its_most_trusted_origin_and_the_models_score(tmp_path: Path) -> None:
    lists = TagLists(parsed(tmp_path, [("a", 1, "caption"), ("a", 0, "caption"), ("b", 2, "implied")]), ["a", "b", "c"])
    words = {"w": 0, "x": 1, "y": 2, "z": 3}
    scorer = FakeScorer()
    caption = CaptionParams(num_beams=1, min_tokens=0, length_penalty=1.0, implied_parents=False, min_precision=0.5)
    parse = lambda captions: [sorted({words[w] for w in c.split() if w != "w"}) for c in captions]  # noqa: E731
    tags, captions = generator(scorer, caption, parse).run(["a", "b", "c"], lists.of(0, 3))
    rows = {(r.image_id, r.tag_id): (r.origin, round(r.score, 5), round(r.image_score, 5)) for r in tags.itertuples()}
    assert len(rows) == len(tags)
    assert rows == {
        ("a", 0): ("caption", 1.0, 0.9),
        ("a", 1): ("caption", 1.0, 0.2),
        ("a", 2): ("generated_caption", 0.7, 0.7),
        ("b", 1): ("generated_caption", 0.8, 0.8),
        ("b", 2): ("implied", 1.0, 0.3),
        ("b", 3): ("generated_caption", 0.95, 0.95),
    }
    assert tags["image_id"].is_monotonic_increasing
    assert captions["image_id"].tolist() == ["a", "b", "c"]
    assert [set(given) for given in scorer.given] == [{"w", "y"}, {"x", "z"}, set()]


def test_without_captions_sure_tags_are_predicted_ones(tmp_path: Path) -> None:
    lists = TagLists(parsed(tmp_path, []), ["c", "a"])
    tags, captions = generator(FakeScorer(), None).run(["c", "a"], lists.of(0, 2))
    assert set(zip(tags["image_id"], tags["tag_id"], tags["origin"], strict=True)) == {
        ("a", 0, "predicted"), ("a", 2, "predicted"),
    }  # fmt: skip
    assert captions.empty
    schema = artifact("generated_tags").schema
    assert schema is not None
    assert pa.Table.from_pandas(tags.assign(model_version="v"), schema=schema).num_rows == 2


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
