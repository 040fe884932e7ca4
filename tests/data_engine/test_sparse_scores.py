from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.data_engine.sparse_scores import SparseScores, keep_highest


def dense(seed: int, num: int, num_tags: int) -> np.ndarray:
    return np.random.default_rng(seed).random((num, num_tags)).astype(np.float32) ** 4


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), num=st.integers(0, 4), num_tags=st.integers(1, 12), top_k=st.integers(1, 14),
    floor=st.sampled_from([0.0, 0.05, 0.3, 0.9]), known=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 11)), max_size=8),
    has_ties=st.booleans(),
)  # fmt: skip
def test_kept_are_the_highest_above_the_floor_then_those_of_its_tags_each_in_falling_order(
    seed: int, num: int, num_tags: int, top_k: int, floor: float, known: set[tuple[int, int]], has_ties: bool
) -> None:
    scores_BK = dense(seed, num, num_tags)
    if has_ties:
        scores_BK = np.floor(scores_BK * 4) / np.float32(4)
    mine = sorted((p, t) for p, t in known if p < num and t < num_tags)
    images, tags = (np.array([pair[i] for pair in mine], dtype=np.int64) for i in (0, 1))
    kept = keep_highest([str(i) for i in range(num)], scores_BK, top_k, floor, (images, tags))
    for image in range(num):
        half = scores_BK[image].astype(np.float16).astype(np.float32)
        ranked = sorted(range(num_tags), key=lambda tag: -half[tag])
        high = [tag for tag in ranked[:top_k] if half[tag] >= np.float32(floor)]
        rest = [tag for p, tag in mine if p == image and tag not in high]
        own = kept.image_S == image
        listed = kept.tag_S[own].tolist()
        assert listed[: len(high)] == high  # ties keep the lowest tag id
        assert listed[len(high) :] == sorted(rest, key=lambda tag: (-half[tag], tag))
        assert kept.score_S[own].tolist() == [half[tag] for tag in listed]
        for stretch in (kept.score_S[own][: len(high)], kept.score_S[own][len(high) :]):
            assert (np.diff(stretch) <= 0).all()
        assert kept.among_highest(top_k, floor)[own].tolist() == [True] * len(high) + [False] * (
            len(listed) - len(high)
        )


def test_scores_come_back_from_a_file_as_they_were(tmp_path) -> None:
    none = (np.empty(0, np.int64), np.empty(0, np.int64))
    kept = keep_highest(["a", "b", "c"], dense(1, 3, 20) * [[1], [0], [1]], 5, 0.01, none)
    tag_ids, scores = kept.to_arrow()
    table = pa.table({"image_id": kept.image_ids, "tag_ids": tag_ids, "scores": scores})
    pq.write_table(table, tmp_path / "scores.parquet")
    back = SparseScores.from_arrow(pq.read_table(tmp_path / "scores.parquet"))
    assert back.image_ids == ["a", "b", "c"]
    for name in ("image_S", "tag_S", "score_S"):
        assert getattr(back, name).tolist() == getattr(kept, name).tolist()
    assert 1 not in kept.image_S  # of an image without scores nothing is kept, and it stays in its place
    sliced = SparseScores.from_arrow(table.slice(2, 1))
    assert sliced.tag_S.tolist() == kept.tag_S[kept.image_S == 2].tolist()
    assert set(sliced.image_S.tolist()) == {0}


def test_a_score_that_was_not_kept_is_0_and_a_tag_that_was_not_scored_is_never_kept() -> None:
    scores_BK = np.array([[0.5, 0.25, -1.0], [0.125, 0.75, -1.0]], np.float32)
    kept = keep_highest(["a", "b"], scores_BK, 1, 0.2, (np.array([0, 1]), np.array([2, 0])))
    images, tags = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2])
    assert kept.of(images, tags).tolist() == [0.5, 0.0, 0.0, 0.125, 0.75, 0.0]
    assert kept.of(np.array([], int), np.array([], int)).tolist() == []
    assert SparseScores(["a"], *(np.empty(0, t) for t in (int, int, np.float32))).of(images[:1], tags[:1]) == [0]
