from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ram.data_engine.ground_truth import RIGHT, UNKNOWN, WRONG, Truth
from ram.io.tables import Table, write_table
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact

TAGS = LabelSystem(
    [Tag(tag_id=i, name=name, synonyms=synonyms) for i, (name, synonyms) in enumerate(
        [("dog", ("hound",)), ("cat", ()), ("sofa", ()), ("zebra", ())]
    )]
)  # fmt: skip
BENCHMARKS = {
    "pets": {"sources": ["home"], "names": ["hound", "cats", "unicorn"], "unseen": []},
    "zoo": {"sources": ["home"], "names": ["zebra"], "unseen": ["zebra"]},
}


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    def table(name: str, rows: list[dict[str, object]]) -> Table:
        schema = artifact(name).schema
        assert schema is not None
        write_table(rows, tmp_path / name, schema)
        return Table(tmp_path / name, schema)

    rest = {"shard": "0", "member": "0", "offset": 0, "num_bytes": 1, "width": 1, "height": 1, "sha256": ""}
    images = [
        {"image_id": i, "source": i.split("/")[0], "split": split, "perceptual_hash": "", **rest}
        for i, split in [("home/1", "dev"), ("home/2", "dev"), ("web/1", "dev"), ("home/3", "train")]
    ]
    labels = [
        {"image_id": i, "benchmark": benchmark, "name": name}
        for i, benchmark, name in [
            ("home/1", "pets", "hound"), ("home/3", "pets", "hound"), ("web/1", "pets", "cats"), ("home/2", "zoo", "zebra"),
        ]
    ]  # fmt: skip
    return Truth(table("labels", labels), BENCHMARKS, table("images", images), TAGS, split="dev")


def test_a_name_of_a_benchmark_judges_the_tag_that_the_label_system_finds_for_it(truth: Truth) -> None:
    assert truth.verdicts(["home/1", "home/1", "home/2"], [0, 1, 0]).tolist() == [RIGHT, WRONG, WRONG]


def test_other_tags_other_sources_other_splits_and_unseen_names_are_not_judged(truth: Truth) -> None:
    assert truth.verdicts(["home/1", "web/1", "home/3", "home/2"], [2, 1, 0, 3]).tolist() == [UNKNOWN] * 4
    assert truth.image_ids == ["home/1", "home/2"]


def test_targets_say_the_same_as_verdicts(truth: Truth) -> None:
    ids = ["home/2", "web/1", "home/1"]
    positive_BK, known_BK = truth.targets(ids, len(TAGS))
    for row, image_id in enumerate(ids):
        verdicts = truth.verdicts([image_id] * len(TAGS), range(len(TAGS)))
        np.testing.assert_array_equal(known_BK[row], verdicts != UNKNOWN)
        np.testing.assert_array_equal(positive_BK[row] & known_BK[row], verdicts == RIGHT)
