"""The published formats, each on small files made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ram.evaluation.columns import UNKNOWN
from ram.evaluation.label_formats import KNOWN, Description, Problems, describe, read_labels
from ram.evaluation.label_formats.labels import Labeled, read_names


def read(tmp_path: Path, **fields: Any) -> tuple[Labeled, Problems]:
    problems = Problems()
    labels = tuple(str(tmp_path / name) for name in fields.pop("labels"))
    paths = {k: str(tmp_path / fields.pop(k)) for k in ("names", "classes", "split") if k in fields}
    return read_labels(Description(name="made", labels=labels, **paths, **fields), problems), problems


def said(labeled: Labeled) -> dict[str, dict[str, int]]:
    """{image: {name: 1, 0 or -1}}, all pairs."""
    target_NK = labeled.targets()(0, len(labeled.names))
    return {p: dict(zip(labeled.names, row.tolist(), strict=True))
            for p, row in zip(labeled.images, target_NK, strict=True)}  # fmt: skip


def positives(labeled: Labeled) -> dict[str, set[str]]:
    return {p: {name for name, value in row.items() if value == 1} for p, row in said(labeled).items()}


@pytest.fixture
def tag_list(tmp_path: Path) -> str:
    (tmp_path / "tags.txt").write_text("Auto racing\nJeans\nClose-up\n")
    return "tags.txt"


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_annotation_lists_go_by_number(tmp_path: Path, tag_list: str, separator: str) -> None:
    (tmp_path / "a.txt").write_text(f"x_1.JPEG\nx_2.JPEG,2{separator}0\nx_3.JPEG,1\n")
    found, problems = read(tmp_path, format="annotation_list", labels=["a.txt"], names=tag_list)
    assert positives(found) == {"x_1.JPEG": set(), "x_2.JPEG": {"Auto racing", "Close-up"}, "x_3.JPEG": {"Jeans"}}
    assert not problems
    assert found.complete


def test_annotation_lists_go_by_name_whatever_its_case(tmp_path: Path, tag_list: str) -> None:
    (tmp_path / "a.txt").write_text("test/0a,Auto racing\ntest/0b,close-up,Jeans\ntest/0c\n")
    found, _ = read(tmp_path, format="annotation_list", labels=["a.txt"], names=tag_list)
    assert positives(found) == {"test/0a": {"Auto racing"}, "test/0b": {"Close-up", "Jeans"}, "test/0c": set()}


def test_what_an_annotation_list_gets_wrong_is_counted(tmp_path: Path, tag_list: str) -> None:
    (tmp_path / "numbers.txt").write_text("a,0 7\na,1\nb,3 1\n")
    found, problems = read(tmp_path, format="annotation_list", labels=["numbers.txt"], names=tag_list)
    assert dict(problems.items()) == {"number_beyond_the_list": 2, "repeated_image": 1}
    assert positives(found) == {"a": {"Auto racing", "Jeans"}, "b": {"Jeans"}}
    (tmp_path / "names.txt").write_text("a,Jeans,Shirt\n")
    _, problems = read(tmp_path, format="annotation_list", labels=["names.txt"], names=tag_list)
    assert problems.to_json() == {"unknown_name": {"num": 1, "examples": ["a: Shirt"]}}


def test_numbers_of_another_list_are_refused(tmp_path: Path, tag_list: str) -> None:
    (tmp_path / "a.txt").write_text("a,0\n")
    with pytest.raises(ValueError, match=r"has 3 names, benchmark made 4, and its labels go by number"):
        read(tmp_path, format="annotation_list", labels=["a.txt"], names=tag_list, num_names=4)


COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"image_id": 7, "category_id": 18, "iscrowd": 1},
        {"image_id": 7, "category_id": 18},
        {"image_id": 7, "category_id": 99},
        {"image_id": 3, "category_id": 1},
    ],
}


def test_coco_instances_by_category_id_and_dangling_ids_counted(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text(json.dumps(COCO))
    found, problems = read(tmp_path, format="coco", labels=["instances.json"])
    assert found.names == ("person", "dog")
    assert positives(found) == {"a.jpg": {"dog"}, "b.jpg": set()}
    assert dict(problems.items()) == {"dangling_category": 1, "dangling_image": 1}


def test_coco_panoptic_segments(tmp_path: Path) -> None:
    panoptic = COCO | {
        "annotations": [
            {"image_id": 9, "file_name": "b.png", "segments_info": [{"category_id": 1}, {"category_id": 18}]},
            {"image_id": 7, "file_name": "a.png", "segments_info": []},
        ]
    }
    (tmp_path / "panoptic.json").write_text(json.dumps(panoptic))
    found, problems = read(tmp_path, format="coco", labels=["panoptic.json"])
    assert positives(found) == {"a.jpg": set(), "b.jpg": {"dog", "person"}}
    assert not problems


def test_a_json_that_is_no_coco_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(ValueError, match="lacks categories"):
        read(tmp_path, format="coco", labels=["captions.json"])


@pytest.fixture
def open_images(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "classes.csv").write_text("/m/01,Cat\n/m/02,Dog\n/m/03,Tree\n")
    (tmp_path / "labels.csv").write_text(
        "ImageID,Source,LabelName,Confidence\n"
        "0a,verification,/m/01,1\n0a,verification,/m/02,0\n0b,crowdsource,/m/02,1.0\n0b,verification,/m/02,0\n"
        "0b,machine,/m/03,0.7\n0c,verification,/m/99,1\n"
    )
    (tmp_path / "boxes.csv").write_text("ImageID,Source,LabelName,Confidence,XMin\n0d,xclick,/m/03,1,0.2\n")
    return {"format": "open_images", "labels": ["labels.csv", "boxes.csv"], "classes": "classes.csv"}


def test_open_images_verified_labels_and_boxes(tmp_path: Path, open_images: dict[str, Any]) -> None:
    found, problems = read(tmp_path, **open_images)
    assert said(found) == {
        "0a": {"Cat": 1, "Dog": 0, "Tree": -1},
        "0b": {"Cat": -1, "Dog": -1, "Tree": -1},
        "0d": {"Cat": -1, "Dog": -1, "Tree": 1},
    }
    assert dict(problems.items()) == {"not_verified": 1, "dangling_category": 1, "contradiction": 1}


def test_open_images_may_take_the_unlabeled_for_negative(tmp_path: Path, open_images: dict[str, Any]) -> None:
    (tmp_path / "some.txt").write_text("dog\ntree\n")
    found, problems = read(tmp_path, **open_images, names="some.txt", unlabeled="negative")
    assert said(found) == {"0a": {"dog": 0, "tree": 0}, "0b": {"dog": -1, "tree": 0}, "0d": {"dog": 0, "tree": 1}}
    assert problems.counts["name_left_out"] == 1


def voc_xml(file: str, *objects: tuple[str, int]) -> str:
    inside = "".join(f"<object><name>{n}</name><difficult>{d}</difficult></object>" for n, d in objects)
    return f"<annotation><filename>{file}</filename>{inside}</annotation>"


def test_voc_objects_and_difficult_ones_are_unknown(tmp_path: Path) -> None:
    folder = tmp_path / "Annotations"
    folder.mkdir()
    (folder / "1.xml").write_text(voc_xml("1.jpg", ("dog", 1), ("cat", 0), ("cat", 1)))
    (folder / "2.xml").write_text(voc_xml("2.jpg", ("dog", 0), ("zebra", 0)))
    (folder / "3.xml").write_text("<annotation><object>")
    (folder / "4.xml").write_text(voc_xml("4.jpg", ("dog", 0)))
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "test.txt").write_text("1  1\n2 -1\n5  1\n")
    found, problems = read(tmp_path, format="voc", labels=["Annotations"], names="names.txt", split="test.txt")
    assert said(found) == {"1.jpg": {"cat": 1, "dog": UNKNOWN}, "2.jpg": {"cat": 0, "dog": 1}}
    assert dict(problems.items()) == {"unknown_name": 1, "broken_labels": 1, "image_without_labels": 1}


def test_masks_have_the_names_of_their_pixels(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(np.array([[0, 2], [2, 9]], np.uint8)).save(folder / "v1.png")
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(folder / "v2.png")
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(folder / "v3.png")
    (folder / "v4.png").write_bytes(b"no image")
    (tmp_path / "objectInfo.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t1\t1\twall\n2\t0.1\t1\t1\tbuilding, edifice\n"
    )
    found, problems = read(tmp_path, format="masks", labels=["masks"], names="objectInfo.txt")
    assert positives(found) == {"v1": {"building"}, "v2": set()}
    assert found.alternatives == {"building": ("edifice",)}
    assert dict(problems.items()) == {"number_beyond_the_list": 1, "mask_in_color": 1, "broken_mask": 1}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_with_labels_leave_the_rest_unknown(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame(
        {
            "image": ["a", "a", "b", "b", "c"],
            "tag": ["dog", "cat", "dog", "dog", ""],
            "label": ["1", "0", "yes", "perhaps", "1"],
        }
    )
    path = tmp_path / f"t.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    found, problems = read(tmp_path, format="table", labels=[path.name])
    assert said(found) == {"a": {"cat": 0, "dog": 1}, "b": {"cat": -1, "dog": 1}, "c": {"cat": -1, "dog": -1}}
    assert dict(problems.items()) == {"malformed_line": 1}


def test_tables_without_labels_are_complete_and_may_list_tags(tmp_path: Path) -> None:
    pd.DataFrame({"image": ["a", "b"], "tags": ["dog|cat", ""]}).to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame({"image": ["c", "d"], "tags": [["dog"], []]}).to_parquet(tmp_path / "t.parquet")
    found, _ = read(tmp_path, format="table", labels=["t.csv", "t.parquet"])
    assert positives(found) == {"a": {"cat", "dog"}, "b": set(), "c": {"dog"}, "d": set()}
    assert found.complete


def test_labels_without_a_positive_are_refused(tmp_path: Path, tag_list: str) -> None:
    (tmp_path / "a.txt").write_text("a,Shirt\n")
    with pytest.raises(ValueError, match=r"no positive that can be used: 1 unknown_name \(a: Shirt\)"):
        read(tmp_path, format="annotation_list", labels=["a.txt"], names=tag_list)


def test_an_empty_line_of_a_tag_list_is_refused_since_numbers_would_shift(tmp_path: Path) -> None:
    (tmp_path / "tags.txt").write_text("a\n\nb\n")
    with pytest.raises(ValueError, match="line 2 is empty; numbers would shift"):
        read_names(tmp_path / "tags.txt")


def test_some_images_keep_their_labels_in_the_order_wanted(tmp_path: Path, tag_list: str) -> None:
    (tmp_path / "a.txt").write_text("a,0\nb,1 2\nc,0 1\n")
    found, _ = read(tmp_path, format="annotation_list", labels=["a.txt"], names=tag_list)
    some = found.of_images(np.array([2, 0]))
    assert list(positives(some).items()) == [("c", {"Auto racing", "Jeans"}), ("a", {"Auto racing"})]


def test_labels_come_a_few_names_at_a_time(tmp_path: Path, tag_list: str) -> None:
    (tmp_path / "a.txt").write_text("a,0\nb,1 2\nc,0 1\n")
    found, _ = read(tmp_path, format="annotation_list", labels=["a.txt"], names=tag_list)
    whole = found.targets()(0, 3)
    np.testing.assert_array_equal(np.hstack([found.targets()(0, 1), found.targets()(1, 3)]), whole)
    np.testing.assert_array_equal(whole, [[1, 0, 0], [0, 1, 1], [1, 1, 0]])


def test_every_known_benchmark_is_described() -> None:
    for name, fields in KNOWN.items():
        assert describe(name).format == fields["format"]
    with pytest.raises(ValueError, match="unknown benchmark 'coco81'; known: coco80, coco133"):
        describe("coco81")


def test_the_lists_in_the_project_are_as_long_as_the_published_ones() -> None:
    root = Path(__file__).parents[3]
    for name in ("oi_common214", "oi_rare200", "ade20k", "voc"):
        found = describe(name)
        assert len(read_names(root / found.names).listed) == found.num_names


def test_a_description_is_relative_to_its_file_and_options_replace_its_fields(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("benchmark: oi_rare200\nlabels: a.txt\nimages: photos\nunseen: [Jeans]\n")
    found = describe(str(tmp_path / "mine.yaml"), images="elsewhere", captions=None)
    assert found.labels == (str(tmp_path / "a.txt"),)
    assert (found.name, found.images, found.unseen) == ("oi_rare200", "elsewhere", ("Jeans",))
    assert describe("oi_rare200").unseen == "all"
    (tmp_path / "bad.yaml").write_text("benchmark: voc\nlables: x\n")
    with pytest.raises(ValueError, match="unknown parameter lables"):
        describe(str(tmp_path / "bad.yaml"))
