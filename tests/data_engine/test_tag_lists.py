from __future__ import annotations

from pathlib import Path

from ram.data_engine.tag_lists import TRUST, TagLists
from ram.io.tables import Table, TableWriter
from ram.pipeline.catalog import artifact


def test_the_tags_of_a_stretch_of_images_are_those_of_the_table_in_the_order_of_the_images(tmp_path: Path) -> None:
    schema = artifact("parsed_tags").schema
    assert schema is not None
    with TableWriter(tmp_path / "parsed_tags", schema, rows_per_part=2) as writer:
        for image_id, tag_id, origin in [
            ("c", 1, "caption"), ("a", 3, "implied"), ("other", 0, "caption"), ("a", 0, "human"),
        ]:  # fmt: skip
            row = {"image_id": image_id, "tag_id": tag_id, "origin": origin, "score": 1.0, "caption_indices": [0]}
            writer.write([row])
    lists = TagLists(Table(tmp_path / "parsed_tags", schema), ["a", "b", "c"])
    image, tag_ids, trust = lists.of(0, 3)
    assert [(p, t, TRUST[o]) for p, t, o in zip(image, tag_ids, trust, strict=True)] == [
        (0, 3, "implied"), (0, 0, "human"), (2, 1, "caption"),
    ]  # fmt: skip
    image, tag_ids, _ = lists.of(1, 3)
    assert (image.tolist(), tag_ids.tolist()) == ([1], [1])
