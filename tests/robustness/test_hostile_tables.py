"""Tables, COCO JSON and captions of strangers: an error that names the file and the place, or a row of the quarantine."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_images
import hostile_tars
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ram.datasets import Refusal, Sample, make_source
from ram.datasets.image_info import ImageLimits
from ram.datasets.staging import Spool, SpoolItem, SpoolWriter, tidy_captions
from ram.evaluation.label_formats import Problems, describe, read_labels
from ram.finetuning.table import read_table

IMAGE = hostile_images.encoded(hostile_images.noise(), "PNG")
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
    "categories": [{"id": 7, "name": "dog"}],
    "annotations": [{"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}, {"image_id": 1, "caption": "a dog"}],
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(IMAGE)
    (tmp_path / "secret.png").write_bytes(IMAGE)
    return tmp_path / "p"


def spooled(source: Any, directory: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows accepted and rows refused, as the ingestion writes them."""
    spool, accepted, refused = Spool(directory / "spool"), [], []
    spool.directory.mkdir(exist_ok=True)
    for number, chunk in enumerate(source.chunks(source.files())):
        limits = ImageLimits(min_side=1, max_pixels=1_000_000, max_aspect=100)
        SpoolWriter(spool, limits)(SpoolItem(number, source, chunk))
        accepted += spool.records(number).to_pylist()
        refused += spool.refused(number).to_pylist()
    return accepted, refused


def coco(images: Path, text: bytes | str | dict[str, Any]) -> Any:
    path = images.parent / "labels.json"
    text = json.dumps(text) if isinstance(text, dict) else text
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    entry = {"name": "c", "kind": "coco", "path": str(images), "benchmark_name": "b", "annotations": [str(path)]}
    return make_source(entry)


def changed(section: str, **fields: Any) -> dict[str, Any]:
    """The good document with fields of the first entry of a section replaced; None removes one."""
    first = {name: value for name, value in (COCO[section][0] | fields).items() if value is not None}
    return COCO | {section: [first, *COCO[section][1:]]}


BAD_COCO: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "no JSON"),
    "text": (b"dogs: 3", "no JSON"),
    "half of it": (json.dumps(COCO)[:90], "no JSON"),
    "an image": (IMAGE, "no JSON"),
    "nesting without end": (b"[" * 200_000, "nested too deeply"),
    "objects without end": (b'{"a":' * 200_000, "nested too deeply"),
    "a number of 5,000 digits": (b"9" * 5000, "no JSON"),
    "a list": (b"[1, 2]", "must be a JSON object"),
    "an empty object": (b"{}", "lacks 'images'"),
    "images that are an object": (COCO | {"images": {"a": 1}}, "images must be a list"),
    "annotations that are null": (COCO | {"annotations": None}, "annotations must be a list"),
    "an image that is a number": (COCO | {"images": [3]}, r"images\[0\] must be an object"),
    "an annotation that is a text": (COCO | {"annotations": ["dog"]}, r"annotations\[0\] must be an object"),
    "an image without an id": (changed("images", id=None), r"images\[0\]\.id must be int or str"),
    "an id that is a list": (changed("images", id=[1]), r"images\[0\]\.id must be int or str"),
    "an id that is true": (changed("images", id=True), r"images\[0\]\.id must be int or str"),
    "an image without a file": (changed("images", file_name=None), r"file_name must be str"),
    "a file that is a number": (changed("images", file_name=7), r"file_name must be str"),
    "a file without a name": (changed("images", file_name=""), "empty file_name"),
    "two images of one id": (COCO | {"images": COCO["images"] * 2}, r"images\[1\] has the id 1 of an earlier"),
    "a category without a name": (changed("categories", name=None), r"categories\[0\]\.name must be str"),
    "a category that is a number": (changed("categories", name=5), r"categories\[0\]\.name must be str"),
    "a dangling image": (changed("annotations", image_id=99), "image 99, which the JSON does not describe"),
    "a dangling category": (changed("annotations", category_id=99), "category 99, which the JSON does not describe"),
    "an annotation of no image": (changed("annotations", image_id=None), r"image_id must be int or str"),
    "a box of three numbers": (changed("annotations", bbox=[1, 2, 3]), "must be .x, y, width, height"),
    "a box of texts": (changed("annotations", bbox=["1", 2, 3, 4]), "must be .x, y, width, height"),
    "a box of not a number": (changed("annotations", bbox=[float("nan"), 2, 3, 4]), "must be .x, y, width, height"),
    "a box without end": (changed("annotations", bbox=[float("inf"), 2, 3, 4]), "must be .x, y, width, height"),
    "a box of negative width": (changed("annotations", bbox=[9, 9, -3, 4]), "must be .x, y, width, height"),
    "a box that is a number": (changed("annotations", bbox=3), "bbox must be list"),
    "a box in an image of no width": (changed("images", width=0), "no width and height"),
    "a box in an image of a text's width": (changed("images", width="64"), "no width and height"),
    "a caption that is a number": (COCO | {"annotations": [{"image_id": 1, "caption": 7}]}, "caption must be str"),
    "a caption that is null": (COCO | {"annotations": [{"image_id": 1, "caption": None}]}, "caption must be str"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_COCO)
def test_a_coco_file_that_is_wrong_is_an_error_that_names_file_and_entry(images: Path, what: str) -> None:
    document, said = BAD_COCO[what]
    source = coco(images, document)
    with pytest.raises(ValueError, match=said) as refused:
        _ = source.benchmark(), source.chunks(source.files())
    assert "labels.json" in str(refused.value) or "a.png" in str(refused.value)


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "a.png/../../secret.png", "a\0.png", "\ud800.png", "n" * 5000 + ".png",
             "/".join(["d"] * 3000), "nothing.png", ".", "..", "~root/.bashrc", "link.png", "ring.png", "pipe.png"],
)  # fmt: skip
def test_a_file_name_of_a_coco_file_or_a_table_leads_to_no_other_file(images: Path, name: str, tmp_path: Path) -> None:
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (images / "ring.png").symlink_to(images / "ring.png")
    os.mkfifo(images / "pipe.png")
    accepted, refused = spooled(coco(images, changed("images", file_name=name)), tmp_path)
    assert (accepted, [row["reason"] for row in refused]) == ([], ["unreadable"])
    if "\ud800" not in name:
        pd.DataFrame({"path": [name], "caption": ["x"]}).to_csv(tmp_path / "t.csv", index=False)
        table = {"name": "t", "kind": "table", "path": str(tmp_path / "t.csv"), "image_root": str(images)}
        accepted, refused = spooled(make_source(table), tmp_path)
        assert (accepted, [row["reason"] for row in refused]) == ([], ["unreadable"])


def csv_or_parquet(path: Path, content: bytes | pa.Table) -> Path:
    path = path.with_suffix(".csv" if isinstance(content, bytes) else ".parquet")
    path.write_bytes(content) if isinstance(content, bytes) else pq.write_table(content, path)
    return path


def columns(**values: Any) -> pa.Table:
    return pa.table(values)


WRONG_TABLES: dict[str, tuple[bytes | pa.Table, str]] = {
    "nothing": (b"", "its first line must name the columns"),
    "an archive": (b"PK\x03\x04\0\0" * 30, "its first line must name the columns"),
    "other columns": (b"file,text\na.png,x\n", "no column 'path'; it has file, text"),
    "no caption column": (b"path\na.png\n", "no column 'caption'"),
    "two columns of one name": (b"path,path,caption\na.png,b,x\n", "two columns of one name"),
    "Latin 1": (b"path,caption\na.png,caf\xe9\n", "save it as UTF-8"),
    "UTF-16": ("path,caption\na.png,x\n".encode("utf-16"), "save it as UTF-8"),
    "a caption with a bare comma": (b"path,caption\na.png,a dog, a cat\n", "line 2: 3 fields for 2 columns"),
    "a caption of a megabyte": (b"path,caption\na.png," + b"x" * 1_000_000 + b"\n", "no CSV that can be read"),
    "Parquet: other columns": (columns(x=[1]), "no column 'path'; it has x"),
    "Parquet: paths that are numbers": (columns(path=[1], caption=["a"]), "row 1: column 'path' must hold text, got int"),
    "Parquet: paths that are structs": (columns(path=[{"a": 1}], caption=["a"]), "must hold text, got dict"),
    "Parquet: captions that are bytes": (columns(path=["a.png"], caption=[b"a"]), "must hold text, got bytes"),
    "Parquet: captions that are lists": (columns(path=["a.png"], caption=[["a"]]), "must hold text, got list"),
    "Parquet: captions that are numbers": (columns(path=["a.png"], caption=[1.5]), "must hold text, got float"),
    "Parquet: captions that are dates": (
        columns(path=["a.png"], caption=[pd.Timestamp("2020-01-01")]), "must hold text, got (Timestamp|datetime)"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_TABLES)
def test_a_table_that_is_wrong_is_an_error_that_names_it_and_the_remedy(
    images: Path, tmp_path: Path, what: str
) -> None:
    content, said = WRONG_TABLES[what]
    path = csv_or_parquet(tmp_path / "t", content)
    source = make_source({"name": "t", "kind": "table", "path": str(path), "image_root": str(images)})
    with pytest.raises(ValueError, match=said) as refused:
        spooled(source, tmp_path)
    assert str(path) in str(refused.value)


def test_a_table_of_excel_begins_with_a_mark_and_is_read(images: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfpath,caption\r\na.png,a dog\r\n,no path\r\n")
    source = make_source({"name": "t", "kind": "table", "path": str(tmp_path / "t.csv"), "image_root": str(images)})
    accepted, refused = spooled(source, tmp_path)
    assert [row["captions"] for row in accepted] == [["a dog"]]
    assert [(row["key"], row["detail"]) for row in refused] == [("t.csv, row 2", "the path is empty")]


def test_a_parquet_file_that_is_broken_anywhere_is_an_error_or_read(images: Path, tmp_path: Path) -> None:
    texts = [f"a dog and {i} cats" for i in range(500)]
    pq.write_table(columns(path=["a.png"] * 500, caption=texts), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    source = make_source({"name": "t", "kind": "table", "path": str(tmp_path / "t.parquet"), "image_root": str(images)})
    broken = [whole[:cut] for cut in range(0, len(whole), len(whole) // 12)]
    for at in range(0, len(whole), len(whole) // 40):
        broken.append(whole[:at] + b"\xff" * 6 + whole[at + 6 :])
    num_refused = 0
    for content in broken:
        (tmp_path / "t.parquet").write_bytes(content)
        try:
            items = [item for chunk in source.chunks(source.files()) for item in source.read(chunk)]
        except ValueError as error:
            assert "no Parquet file that can be read" in str(error) or "no column" in str(error)
            num_refused += 1
        else:
            assert all(isinstance(item, Sample | Refusal) for item in items)
    assert num_refused > 40


def test_a_text_of_a_megabyte_in_every_row_takes_the_memory_of_one(images: Path, tmp_path: Path) -> None:
    once = pa.array(["x" * 1_000_000])
    caption = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), once)
    pq.write_table(columns(path=["a.png"] * 5000, caption=caption), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 2_000_000
    source = make_source({"name": "t", "kind": "table", "path": str(tmp_path / "t.parquet"), "image_root": str(images)})
    tracemalloc.start()
    (item,) = [item for chunk in source.chunks(source.files()) for item in source.read(chunk)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(item, Sample)
    assert len(item.captions) == 5000
    assert peak < 20 << 20, "written out they are 5 GB"


def test_a_column_that_is_too_large_when_unpacked_is_refused_before_it_is(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = columns(path=["a.png"] * 3, caption=[c * 1_000_000 for c in "abc"], other=["y" * 9_000_000] * 3)
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    source = make_source({"name": "t", "kind": "table", "path": str(tmp_path / "t.parquet"), "image_root": str(images)})
    monkeypatch.setattr("ram.datasets.table.MAX_COLUMN_BYTES", 5_000_000)
    assert len(list(source.read(source.chunks(source.files())[0]))) == 1, "a column that nobody reads does no harm"
    monkeypatch.setattr("ram.datasets.table.MAX_COLUMN_BYTES", 2_000_000)
    with pytest.raises(
        ValueError, match=r"column 'caption' of row group 0 has 300\d+ bytes when unpacked, more than 2000000"
    ):
        list(source.read(source.chunks(source.files())[0]))


CAPTIONS: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"a dog", "bad_captions"),
    "half": (b'{"caption": "a do', "bad_captions"),
    "a list": (b'["a dog"]', "bad_captions"),
    "null": (b"null", "bad_captions"),
    "a number": (b'{"caption": 7}', "bad_captions"),
    "a list of numbers": (b'{"captions": [1, 2]}', "bad_captions"),
    "an object": (b'{"caption": {"en": "a dog"}}', "bad_captions"),
    "no UTF-8": (b'{"caption": "\xff\xfe"}', "bad_captions"),
    "nesting": (b'{"caption": ' + b"[" * 100_000, "bad_captions"),
    "a number of 5,000 digits": (b'{"width": ' + b"9" * 5000 + b"}", "bad_captions"),
    "five megabytes": (b'{"caption": "' + b"a" * (5 << 20) + b'"}', "bad_captions"),
    "none": (b"{}", "no_caption"),
    "nothing but marks": (b'{"caption": "\\u202e\\u200b ... \\u0000"}', "no_caption"),
    "nothing but surrogates": (b'{"caption": "\\ud800\\udfff\\ud800"}', "accepted or no_caption"),
    "a megabyte": (b'{"caption": "' + b"dog " * 250_000 + b'"}', "accepted"),
    "null bytes": (b'{"caption": "a\\u0000dog\\u0000"}', "accepted"),
    "right to left": ('{"caption": "كلب \u202eنص\u202c and a dog"}'.encode(), "accepted"),
    "a lone surrogate": (b'{"caption": "a \\ud83d dog"}', "accepted"),
    "control characters": (b'{"caption": "a\\u001b[31m dog\\u0007"}', "accepted"),
    "markup": (b'{"caption": "<script>alert(1)</script> a dog"}', "accepted"),
    "a key that is there twice": (b'{"caption": "a cat", "caption": "a dog"}', "accepted"),
    "not a number": (b'{"caption": "a dog", "width": NaN}', "accepted"),
    "an emoji": ('{"caption": "a \U0001f436 dog"}'.encode(), "accepted"),
}


@pytest.mark.parametrize("what", CAPTIONS)
def test_a_caption_of_any_kind_is_accepted_as_text_or_on_record(tmp_path: Path, what: str) -> None:
    document, outcome = CAPTIONS[what]
    shard = (
        hostile_tars.member(b"a.jpg") + hostile_tars.member(b"a.json", document) + hostile_tars.GOOD + hostile_tars.END
    )
    (tmp_path / "x.tar").write_bytes(shard)
    source = make_source({"name": "web", "kind": "webdataset", "path": str(tmp_path / "x.tar")})
    accepted, refused = spooled(source, tmp_path)
    assert accepted[-1]["key"] == "good"
    found = "accepted" if len(accepted) == 2 else next(row["reason"] for row in refused if row["key"] == "a")
    assert found in outcome
    for caption in accepted[0]["captions"]:
        caption.encode("utf-8")
        assert not any(ord(letter) < 32 for letter in caption)
    assert all(len(row["detail"]) <= 1000 for row in refused)


def test_as_many_captions_as_fit_a_file_are_tidied_in_a_moment(within: Callable[[float], Any]) -> None:
    captions = tuple(f"dog {i}" for i in range(60_000))
    with within(30):  # compared with one another it would be minutes
        assert len(tidy_captions(captions)[0]) == 60_000


OWN_TABLES: dict[str, tuple[bytes | pa.Table, str]] = {
    "nothing": (b"", "must name the columns"),
    "a header alone": (b"image,tag\n", "has no row"),
    "an archive": (b"PK\x03\x04\0" * 50, "must name the columns"),
    "other columns": (b"photo,tag\na,b\n", "no column 'image'"),
    "a field too many": (b"image,tag\na.png,dog,1\n", "3 fields for 2 columns"),
    "Latin 1": (b"image,tag\na.png,\xe9\n", "UTF-8"),
    "Parquet: tags that are lists": (columns(image=["a"], tag=[["dog"]]), "column 'tag' must hold one text or number"),
    "Parquet: images that are bytes": (columns(image=[b"a"], tag=["dog"]), "column 'image' must hold one text"),
    "Parquet: labels that are structs": (columns(image=["a"], tag=["b"], label=[{"a": 1}]), "column 'label'"),
    "Parquet: no columns of ours": (columns(x=[1]), "no column 'image'"),
}


@pytest.mark.parametrize("what", OWN_TABLES)
def test_a_table_of_one_s_own_tags_that_is_wrong_is_an_error_that_says_how(tmp_path: Path, what: str) -> None:
    content, said = OWN_TABLES[what]
    path = csv_or_parquet(tmp_path / "own", content)
    with pytest.raises(ValueError, match=said) as refused:
        read_table(path)
    assert str(path) in str(refused.value)


def test_words_of_a_table_that_mean_nothing_elsewhere_stay_words(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("image,tag,label\nNA.jpg,null,1\nnan,NaN,0\nNone,=cmd(),true\n")
    found = read_table(tmp_path / "own.csv")
    assert found[["image", "tag"]].to_numpy().tolist() == [["NA.jpg", "null"], ["nan", "NaN"], ["None", "=cmd()"]]


LAUGHS = '<!DOCTYPE a [<!ENTITY a "dogdogdogdog">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 20}">' for i in range(12)
)


def test_xml_that_grows_and_xml_that_is_none_are_problems_of_their_files(
    tmp_path: Path, within: Callable[[float], Any]
) -> None:
    (tmp_path / "names.txt").write_text("dog\n")
    (tmp_path / "good.xml").write_text("<annotation><object><name>dog</name></object></annotation>")
    (tmp_path / "grows.xml").write_text(LAUGHS + "]><annotation><object><name>&m;</name></object></annotation>")
    (tmp_path / "reads.xml").write_text(
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name></object></annotation>'
    )
    (tmp_path / "bytes.xml").write_bytes(b"\xff\xfe\x00broken")
    (tmp_path / "half.xml").write_text("<annotation><object>")
    problems = Problems()
    description = describe("voc", labels=(str(tmp_path),), names=str(tmp_path / "names.txt"), num_names=1, num_images=1)
    with within(30):
        labels = read_labels(description, problems)
    assert labels.images == ("good",)
    assert dict(problems.items()) == {"broken_labels": 4}
