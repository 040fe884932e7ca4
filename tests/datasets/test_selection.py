from __future__ import annotations

import numpy as np
import pyarrow as pa

from ram.datasets.selection import SPLIT_PRIORITY, Candidates, cut_shards, find_repeats


def candidates(rows: list[tuple[str, str, str, int]], chunk_size: int = 3) -> Candidates:
    """From (image_id, split, content, perceptual hash) of every image."""
    number = np.arange(len(rows))
    return Candidates(
        chunk=number // chunk_size,
        row=number % chunk_size,
        image_id=pa.array([row[0] for row in rows]),
        split=np.array([SPLIT_PRIORITY.index(row[1]) for row in rows]),
        sha256=np.array([row[2].encode() for row in rows], dtype="S32"),
        perceptual_hash=np.array([row[3] for row in rows], dtype=np.uint64),
        source=np.array([ord(row[0][0]) for row in rows]),
    )


FAR = [i * 0x0F0F_1234_5678_9ABC % 2**64 for i in range(1, 9)]


def found(rows: list[tuple[str, str, str, int]]) -> dict[tuple[int, int], tuple[str, str]]:
    repeats = find_repeats(candidates(rows), 2)
    return {(chunk, r.row): (r.reason, r.image_id) for chunk, several in repeats.items() for r in several}


def test_what_is_evaluated_on_stays_and_what_is_learned_from_goes() -> None:
    rows = [
        ("s/a", "train", "A", FAR[0]),
        ("s/b", "finetune", "B", FAR[1] ^ 1),
        ("s/c", "dev", "C", FAR[2]),
        ("t/a", "test", "A", FAR[0]),
        ("t/b", "dev", "D", FAR[1]),
        ("t/c", "test", "E", FAR[2] ^ 3),
    ]
    assert found(rows) == {
        (0, 0): ("exact_duplicate", "t/a"),
        (0, 1): ("near_duplicate", "t/b"),
        (0, 2): ("near_duplicate", "t/c"),
    }


def test_train_and_finetune_may_share_an_image() -> None:
    assert found([("s/a", "train", "A", FAR[0]), ("t/a", "finetune", "A", FAR[0])]) == {}


def test_of_one_key_or_image_in_one_split_the_first_stays() -> None:
    rows = [("s/a", "train", "A", FAR[0]), ("s/a", "train", "B", FAR[1]), ("s/b", "train", "A", FAR[0])]
    assert found(rows) == {(0, 1): ("duplicate_key", "s/a"), (0, 2): ("exact_duplicate", "s/a")}


def test_shards_hold_one_split_each_and_every_image_that_stays() -> None:
    splits = ["train", "test", "train", "dev", "train", "train", "test"]
    rows = [(f"s/{i}", split, str(i), FAR[i]) for i, split in enumerate(splits)]
    everything = candidates(rows)
    shards = cut_shards(everything, find_repeats(everything, None), images_per_shard=3)
    taken = [[3 * chunk + int(row) for chunk, rows in shard.rows for row in rows] for shard in shards]
    assert taken == [[0, 2, 4], [5], [3], [1, 6]]
    assert [shard.number for shard in shards] == [0, 1, 2, 3]


def test_a_source_that_grows_leaves_the_shards_of_others_and_its_own_full_ones_as_they_are() -> None:
    def contents(rows: list[tuple[str, str, str, int]]) -> list[list[str]]:
        everything = candidates(rows)
        shards = cut_shards(everything, {}, images_per_shard=2)
        return [[rows[3 * chunk + int(row)][0] for chunk, own in shard.rows for row in own] for shard in shards]

    def images(source: str, num: int) -> list[tuple[str, str, str, int]]:
        return [(f"{source}/{i}", "train", f"{source}{i}", 0) for i in range(num)]

    before, after = (contents([*images("s", num), *images("t", 3)]) for num in (3, 6))
    assert before == [["s/0", "s/1"], ["s/2"], ["t/0", "t/1"], ["t/2"]]
    assert [shard for shard in before if shard not in after] == [["s/2"]]
    assert [shard for shard in after if shard not in before] == [["s/2", "s/3"], ["s/4", "s/5"]]
