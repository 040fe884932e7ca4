from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ram.evaluation.benchmarks import describe_matches, load_benchmarks, match_names, score_names, tags_with_positives
from ram.io.tables import Table, write_table
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact

SYSTEM = LabelSystem(
    [
        Tag(tag_id=0, name="animal"),
        Tag(tag_id=1, name="dog", synonyms=("hound",), parents=("animal",)),
        Tag(tag_id=2, name="cat", parents=("animal",)),
    ]
)


class Dots:
    """A scorer whose scores are known: of image i and a tag with embedding [e], i * e / 100."""

    def scores(self, image_ids, embedding_KE=None, batch_size=32):
        for start in range(0, len(image_ids), batch_size):
            ids = image_ids[start : start + batch_size]
            yield ids, np.outer([int(i) for i in ids], embedding_KE[:, 0]).astype(np.float32) / 100


def test_names_match_by_name_synonym_or_text() -> None:
    matches = match_names(["Dog", "hound", "zebra", "animal"], SYSTEM)
    assert [match.how for match in matches] == ["name", "synonym", "text", "name"]
    assert [tag.name for tag in matches[3].children] == ["dog", "cat"]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_scores_are_in_the_order_of_images_and_names(batch_size: int) -> None:
    matches = match_names(["zebra", "animal", "dog"], SYSTEM)
    own_KE = np.array([[1.0], [5.0], [3.0]])
    ids = ["4", "2", "9", "1"]
    own, best = score_names(
        Dots(), ids, matches, own_KE, lambda names: np.full((len(names), 1), 7.0), batch_size, "test"
    )
    images = np.array([4, 2, 9, 1])
    np.testing.assert_allclose(own, np.outer(images, [7, 1, 5]) / 100, rtol=1e-6)
    np.testing.assert_allclose(best, np.outer(images, [7, 5, 5]) / 100, rtol=1e-6)


def test_the_text_encoder_is_not_asked_where_all_names_are_tags() -> None:
    def fail(names):
        raise AssertionError(names)

    score_names(Dots(), ["1"], match_names(["dog"], SYSTEM), np.ones((3, 1)), fail, 8, "test")


def test_the_description_names_what_is_not_obvious() -> None:
    matches = match_names(["hound", "zebra", "animal", "cat"], SYSTEM)
    assert describe_matches(matches, [True, True, True, False]) == {
        "synonym": {"hound": "dog"}, "text": ["zebra"], "children": {"animal": ["dog", "cat"]},
    }  # fmt: skip


def test_tags_with_positives_are_those_of_train_images() -> None:
    batches = [
        pd.DataFrame({"image_id": ["a", "b"], "tag_id": [1, 2]}),
        pd.DataFrame({"image_id": ["a"], "tag_id": [5]}),
    ]
    assert tags_with_positives(batches, ["a"]) == {1, 5}


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Table, Table]:
    images = [
        {
            "image_id": f"{source}/{split}", "source": source, "split": split, "shard": "", "member": "", "offset": 0,
            "num_bytes": 1, "width": 1, "height": 1, "sha256": "", "perceptual_hash": "",
        }
        for source in ("a", "b")
        for split in ("dev", "test")
    ]  # fmt: skip
    box = dict.fromkeys(("x0", "y0", "x1", "y1"))
    labels = [
        {"image_id": "a/test", "benchmark": "one", "name": "dog", **box},
        {"image_id": "a/test", "benchmark": "one", "name": "dog", **box},  # two boxes of one dog
        {"image_id": "a/dev", "benchmark": "one", "name": "cat", **box},
        {"image_id": "a/test", "benchmark": "two", "name": "sky", **box},
    ]
    for name, rows in (("images", images), ("labels", labels)):
        write_table(rows, tmp_path / name, artifact(name).schema)
    return tuple(Table(tmp_path / n, artifact(n).schema) for n in ("images", "labels"))  # type: ignore[return-value]


def test_a_benchmark_has_all_images_of_its_sources_and_only_its_own_labels(tables: tuple[Table, Table]) -> None:
    facts = {
        "one": {"sources": ["a", "b"], "names": ["cat", "dog"], "unseen": ["cat"]},
        "two": {"sources": ["a"], "names": ["sky"]},
    }
    one, two = load_benchmarks(facts, *tables, "test")
    assert one.image_ids == ["a/test", "b/test"]
    assert one.unseen == {"cat"}
    np.testing.assert_array_equal(one.positive_NK, [[False, True], [False, False]])
    np.testing.assert_array_equal(two.positive_NK, [[True]])


def test_benchmarks_without_images_of_the_split_are_left_out(tables: tuple[Table, Table]) -> None:
    facts = {"one": {"sources": ["elsewhere"], "names": ["cat", "dog"]}}
    assert load_benchmarks(facts, *tables, "test") == []


def test_a_label_that_the_benchmark_does_not_list_is_refused(tables: tuple[Table, Table]) -> None:
    with pytest.raises(ValueError, match="benchmark one has labels it does not list: dog"):
        load_benchmarks({"one": {"sources": ["a"], "names": ["cat"]}}, *tables, "test")
