from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ram.data_engine.score import CaptionParams, Looker, columns_of_tags, seed_of
from ram.labels import LabelSystem, Tag

SCORES = {"a": [0.9, 0.2, 0.7, 0.6], "b": [0.1, 0.8, 0.3, 0.95], "c": [0.05, 0.1, 0.1, 0.1]}
CAPTION = CaptionParams(
    num_beams=1, min_tokens=2, length_penalty=1.0, top_p=None, temperature=1.0, min_tag_score=0.5, max_tags=2
)


class FakeScorer:
    """Gives the scores above, whatever the images."""

    def __init__(self) -> None:
        self.fast = SimpleNamespace(scores=lambda tokens: tokens[:, 0].double().numpy())
        self.model = SimpleNamespace(generate_captions=self._write)
        self.checkpoint = SimpleNamespace(label_system=SimpleNamespace(names=["w", "x", "y", "z"]))
        self.asked: list[dict[str, Any]] = []

    def _write(
        self, tokens: torch.Tensor, tag_texts: list[list[str]], **parameters: Any
    ) -> tuple[list[str], list[float]]:
        self.asked.append(parameters)
        return [" ".join(texts) for texts in tag_texts], [-1.0] * len(tag_texts)

    def tokens(self, ids: Sequence[str], size: int) -> Iterator[tuple[list[str], torch.Tensor, tuple[int, int]]]:
        for start in range(0, len(ids), size):
            mine = list(ids[start : start + size])
            yield mine, torch.tensor([[SCORES[i]] for i in mine]), (1, 1)


def look(
    scorer: Any, columns: Sequence[int], caption: CaptionParams | None, known: Sequence[tuple[int, int]] = ()
) -> Any:
    looker = Looker(
        scorer=scorer, column_K=np.array(columns), top_k=2, floor=0.15, caption=caption, seed=3, batch_size=2
    )
    images, tags = (np.array([pair[i] for pair in known], dtype=np.int64) for i in (0, 1))
    return looker.run(["a", "b", "c"], (images, tags))


def test_scores_of_all_batches_are_kept_under_the_ids_of_the_label_system() -> None:
    kept, captions = look(FakeScorer(), [3, -1, 0], None, known=[(1, 1), (2, 0)])
    rows = [(kept.image_ids[p], t, round(float(s), 2)) for p, t, s in zip(kept.image_S, kept.tag_S, kept.score_S, strict=True)]  # fmt: skip  # noqa: E501
    assert rows == [("a", 2, 0.9), ("a", 0, 0.6), ("b", 0, 0.95), ("c", 0, 0.1)]
    assert captions.num_rows == 0


def test_the_models_own_highest_tags_lead_its_captions() -> None:
    scorer = FakeScorer()
    _, captions = look(scorer, [0, 1, 2, 3], CAPTION)
    assert captions.to_pydict() == {
        "image_id": ["a", "b", "c"], "caption": ["w y", "z x", ""], "log_probability": [-1.0] * 3,
    }  # fmt: skip
    assert [asked["seeds"] for asked in scorer.asked] == [(), ()]


def test_a_sampled_caption_gets_a_seed_of_its_image_and_of_the_run() -> None:
    scorer = FakeScorer()
    look(scorer, [0, 1, 2, 3], CaptionParams(**{f: getattr(CAPTION, f) for f in CAPTION.__slots__} | {"top_p": 0.9}))
    seeds = [seed for asked in scorer.asked for seed in asked["seeds"]]
    assert seeds == [seed_of(image_id, 3) for image_id in "abc"]
    assert len({*seeds, seed_of("a", 4)}) == 4
    assert scorer.asked[0]["top_p"] == 0.9


def test_a_model_of_other_tags_is_read_by_name_and_synonym() -> None:
    own = LabelSystem(
        [Tag(tag_id=0, name="dog"), Tag(tag_id=1, name="sofa", synonyms=("couch",)), Tag(tag_id=2, name="zebra")]
    )
    other = LabelSystem([Tag(tag_id=0, name="couch"), Tag(tag_id=1, name="puppy", synonyms=("dog",))])
    assert columns_of_tags(own, other).tolist() == [1, 0, -1]
    assert columns_of_tags(own, LabelSystem(own.tags)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_beams": 0}, "num_beams must be 1"),
        ({"top_p": 0.9, "num_beams": 3}, "with num_beams 1"),
        ({"top_p": 1.5}, "top_p must be in"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"min_tag_score": 1.5}, "min_tag_score in"),
    ],
)
def test_impossible_ways_to_write_a_caption_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CaptionParams(**{f: getattr(CAPTION, f) for f in CAPTION.__slots__} | parameters)
