from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ram.datasets import Label, Refusal, Sample, Source, make_source

WriteTar = Callable[[Path, dict[str, bytes]], Path]
DOCUMENT = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": 100, "height": 50},
        {"id": 2, "file_name": "b.jpg", "width": 10, "height": 10},
        {"id": 3, "file_name": "gone.jpg", "width": 10, "height": 10},
    ],
    "categories": [{"id": 7, "name": "Dog"}, {"id": 9, "name": "fire hydrant"}],
    "annotations": [
        {"image_id": 1, "category_id": 7, "bbox": [10, 5, 20, 10]},
        {"image_id": 1, "category_id": 9},
        {"image_id": 1, "category_id": 9},
        {"image_id": 1, "caption": "A dog."},
    ],
}


def make(tmp_path: Path, images: str, document: dict[str, Any] = DOCUMENT, **parameters: Any) -> Source:
    (tmp_path / "labels.json").write_text(json.dumps(document))
    entry = {"name": "coco", "kind": "coco", "path": str(tmp_path / images), "benchmark_name": "coco80"}
    return make_source(entry | {"annotations": [str(tmp_path / "labels.json")]} | parameters)


def read(source: Source) -> dict[str, Sample | Refusal]:
    return {item.key: item for chunk in source.chunks(source.files()) for item in source.read(chunk)}


@pytest.mark.parametrize("images", ["images.tar", "folder"])
def test_captions_and_labels_come_from_a_tar_and_from_a_folder_alike(
    tmp_path: Path, write_tar: WriteTar, images: str
) -> None:
    write_tar(tmp_path / "images.tar", {"a.jpg": b"first", "b.jpg": b"second"})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.jpg").write_bytes(b"first")
    (tmp_path / "folder/b.jpg").write_bytes(b"second")
    items = read(make(tmp_path, images))
    assert items["a"] == Sample(
        key="a",
        image=b"first",
        split="train",
        captions=("A dog.",),
        labels=(Label(name="dog", box=(0.1, 0.1, 0.3, 0.3)), Label(name="fire hydrant")),
    )
    assert items["b"] == Sample(key="b", image=b"second", split="train")
    assert isinstance(items["gone"], Refusal)


def test_the_benchmark_holds_all_categories(tmp_path: Path, write_tar: WriteTar) -> None:
    write_tar(tmp_path / "p.tar", {})
    benchmark = make(tmp_path, "p.tar", unseen=["dog"]).benchmark()
    assert benchmark is not None
    assert (benchmark.name, benchmark.names, benchmark.unseen) == ("coco80", ("dog", "fire hydrant"), ("dog",))
    with pytest.raises(ValueError, match="unseen names"):
        make(tmp_path, "p.tar", unseen=["cat"]).benchmark()
    with pytest.raises(ValueError, match="set benchmark_name"):
        make(tmp_path, "p.tar", benchmark_name=None).benchmark()


def test_captions_alone_make_no_benchmark(tmp_path: Path, write_tar: WriteTar) -> None:
    write_tar(tmp_path / "p.tar", {})
    document = {"images": [], "annotations": []}
    assert make(tmp_path, "p.tar", document, benchmark_name=None).benchmark() is None


def test_an_annotation_of_an_unknown_category_is_an_error_that_names_it(tmp_path: Path, write_tar: WriteTar) -> None:
    write_tar(tmp_path / "p.tar", {"a.jpg": b"first"})
    document = DOCUMENT | {"annotations": [{"image_id": 1, "category_id": 8}]}
    with pytest.raises(ValueError, match="category 8"):
        read(make(tmp_path, "p.tar", document))


def test_a_file_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    document = DOCUMENT | {"images": [{"id": 1, "file_name": "../secret.jpg"}], "annotations": []}
    (tmp_path / "folder/x.jpg").write_bytes(b"")
    (item,) = read(make(tmp_path, "folder", document)).values()
    assert isinstance(item, Refusal)
    assert "leads out" in item.detail
