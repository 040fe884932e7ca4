from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import ram
from ram.cli.main import app
from ram.io.tables import write_json
from ram.labels import LabelSystem, Tag
from ram.model.build import CaptionParams, ModelParams, build_model
from ram.model.checkpoint import save_checkpoint

TAGS = [
    Tag(tag_id=0, name="animal"),
    Tag(tag_id=1, name="dog", synonyms=("hound",), parents=("animal",)),
    Tag(tag_id=2, name="beach", kind="scene"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that finds all its tags in every image."""
    params = ModelParams(
        image_encoder="resnet10t", image_size=32, token_width=16, width=16, num_heads=2, ffn_ratio=2.0,
        text_encoder="package:wordllama", templates="plain", caption=CaptionParams(vocabulary_size=60, num_heads=2),
    )  # fmt: skip
    embedding_KE = torch.nn.functional.normalize(torch.randn(3, 256, generator=torch.Generator().manual_seed(0)), dim=1)
    directory = tmp_path_factory.mktemp("model") / "model"
    save_checkpoint(directory, build_model(params, embedding_KE, ["a dog runs", "a beach"]), LabelSystem(TAGS))
    write_json({"default": 0.0, "open_set": 0.0, "tags": {}}, directory / "thresholds.json")
    return directory


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images, one of them broken."""
    directory = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    for name, image in zip("ac", pixels, strict=True):
        Image.fromarray(image).save(directory / f"{name}.png")
    (directory / "b.jpg").write_bytes(b"text")
    return directory


def tag(model: Path, *arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["tag", *map(str, arguments), "--model", str(model)], input=stdin)


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_broken_images_are_named_at_the_end_and_the_status_is_1(model: Path, photos: Path) -> None:
    result = tag(model, photos, "--json", "--batch-size", 2)
    assert result.exit_code == 1
    assert [Path(row["image"]).name for row in lines(result.stdout)] == ["a.png", "c.png"]
    assert f"not tagged: {photos / 'b.jpg'}: not a readable image" in result.stderr
    assert "2 images tagged" in result.stderr
    assert "1 refused" in result.stderr
    assert tag(model, photos / "a.png").exit_code == 0


def test_every_format_has_what_the_tagger_says(model: Path, photos: Path, tmp_path: Path) -> None:
    wanted = ram.load(model)([photos / "a.png", photos / "c.png"])
    for suffix in ("jsonl", "csv", "parquet", "txt"):
        result = tag(model, photos / "a.png", photos / "c.png", "--out", tmp_path / "new" / f"out.{suffix}")
        assert result.exit_code == 0, result.output
        assert result.stdout == ""
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"out.jsonl", "out.csv", "out.parquet", "out.txt"}
    flat = [(str(photos / f"{name}.png"), t) for name, tags in zip("ac", wanted, strict=True) for t in tags]
    parquet = pq.read_table(tmp_path / "new" / "out.parquet").to_pylist()
    rows = list(csv.DictReader((tmp_path / "new" / "out.csv").open()))
    of_json = [
        {"image": line["image"], **t}
        for line in lines((tmp_path / "new" / "out.jsonl").read_text())
        for t in line["tags"]
    ]
    assert len(flat) == len(parquet) == len(rows) == len(of_json) == 6
    for (image, t), p, c, j in zip(flat, parquet, rows, of_json, strict=True):
        assert (p["image"], p["tag"], p["tag_id"], p["kind"]) == (image, t.name, t.tag_id, t.kind)
        assert (c["image"], c["tag"], int(c["tag_id"]), c["kind"]) == (image, t.name, t.tag_id, t.kind)
        assert (j["image"], j["name"], j["tag_id"], j["kind"]) == (image, t.name, t.tag_id, t.kind)
        assert p["score"] == pytest.approx(t.score)
        assert float(c["score"]) == pytest.approx(t.score)
        assert j["score"] == pytest.approx(t.score, abs=1e-4)
    text = (tmp_path / "new" / "out.txt").read_text()
    assert f"{wanted[0][0].score:.3f}  {wanted[0][0].name}  ({wanted[0][0].kind})" in text


def test_an_image_without_tags_has_a_row_too(model: Path, photos: Path, tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        tag(model, photos / "a.png", "--threshold", "1", "--out", tmp_path / f"o.{suffix}")
    (row,) = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert (row["image"], row["tag"], row["score"]) == (str(photos / "a.png"), None, None)
    (row,) = csv.DictReader((tmp_path / "o.csv").open())
    assert (row["image"], row["tag"]) == (str(photos / "a.png"), "")
    assert "no tag" in tag(model, photos / "a.png", "--threshold", "1").stdout


def test_a_file_is_written_whole_or_not_at_all(model: Path, photos: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "o.csv").write_text("old")

    def dies(self: object, *_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("ram.cli.tag_output.CsvWriter.write", dies)
    assert isinstance(tag(model, photos, "--out", tmp_path / "o.csv").exception, RuntimeError)
    assert (tmp_path / "o.csv").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["o.csv"]


def test_shards_patterns_and_paths_on_stdin_are_tagged(model: Path, photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        content = (photos / "a.png").read_bytes()
        info = tarfile.TarInfo("x/0.png")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    result = tag(model, tmp_path / "s.tar", f"{photos}/a*", "-", "--json", stdin=f"{photos / 'c.png'}\n")
    assert result.exit_code == 0, result.output
    found = lines(result.stdout)
    assert [row["image"] for row in found] == [f"{tmp_path}/s.tar/x/0.png", f"{photos}/a.png", f"{photos}/c.png"]
    assert [t["name"] for t in found[0]["tags"]] == [t["name"] for t in found[1]["tags"]]


def test_names_of_both_options_are_scored_and_misspelt_ones_pointed_at(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("# mine\n\na zeppelin\nbeech\n")
    result = tag(model, photos / "a.png", "--tags", "hound, beach", "--tags-file", tmp_path / "names.txt", "--json")
    found = {t["name"]: t for t in lines(result.stdout)[0]["tags"]}
    assert {name: t["kind"] for name, t in found.items()} == {
        "hound": "object", "beach": "scene", "a zeppelin": "open", "beech": "open",
    }  # fmt: skip
    assert found["hound"]["tag"] == "dog"
    assert "'beech' is new to the model, which knows 'beach'" in result.stderr


def test_thresholds_are_one_for_all_or_one_a_tag(model: Path, photos: Path) -> None:
    def said(*options: str) -> set[str]:
        result = tag(model, photos / "a.png", "--json", *options)
        assert result.exit_code == 0, result.output
        return {t["name"] for t in lines(result.stdout)[0]["tags"]}

    assert said() == {"animal", "dog", "beach"}
    assert said("--threshold", "1") == set()
    assert said("--threshold", "dog=1", "--threshold", "beach=1.0") == {"animal"}
    assert said("--hierarchy", "most_specific") == {"dog", "beach"}
    assert said("--threshold", "animal=1", "--hierarchy", "add_implied") == {"animal", "dog", "beach"}
    assert len(said("--top-k", "1")) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "high"), "TAG=number"),
        (("--threshold", "0.5", "--threshold", "dog=0.1"), "not both"),
        (("--threshold", "dgo=0.5"), "nearest: dog"),
        (("--tags", "dog,,cat"), "at least one letter"),
        (("--tags-file", "none.txt"), "no file none.txt"),
        (("--format", "parquet"), "--out"),
        (("--strip", "x"), "--frames-every"),
        (("--frames-every", "often"), "got 'often'"),
        (("--batch-size", "0"), "batch_size"),
    ],
)
def test_options_that_cannot_be_are_refused(model: Path, photos: Path, options: tuple[str, ...], message: str) -> None:
    result = tag(model, photos / "a.png", *options)
    assert isinstance(result.exception, ValueError), result.output
    assert message in str(result.exception)


def test_boxes_are_drawn_and_captions_written(model: Path, photos: Path, tmp_path: Path) -> None:
    result = tag(model, photos / "a.png", "--explain", tmp_path / "seen", "--captions", "--json", "--top-k", 1)
    assert result.exit_code == 0, result.output
    (row,) = lines(result.stdout)
    assert isinstance(row["caption"], str)
    (drawn,) = (tmp_path / "seen").iterdir()
    assert drawn.name == "000000-a.png.png"
    with Image.open(drawn) as page, Image.open(photos / "a.png") as image:
        shown = np.asarray(image.convert("RGB").resize((960, 768)), int)
        changed = np.abs(np.asarray(page.convert("RGB"), int)[:768] - shown).sum(axis=2) > 0
    (tags,) = ram.load(model)(photos / "a.png", top_k=1, explain=True)
    assert changed.any() == (tags[0].box is not None)
    if tags[0].box is not None:
        x0, y0, x1, y1 = (v * side for v, side in zip(tags[0].box, (960, 768) * 2, strict=True))
        assert changed[int(y0) + 1, int(x0) + 1 : int(x1) - 1].all(), "the upper edge of the box"
        outside = changed.copy()
        outside[int(y0) : int(y1) + 2, int(x0) : int(x1) + 2] = False
        assert outside.mean() < 0.05, "nothing but a name that is wider than its box"


def test_frames_have_their_times_and_a_strip(model: Path, tmp_path: Path) -> None:
    first, *rest = [Image.new("RGB", (24, 16), (40 * i, 99, 0)) for i in range(6)]
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, duration=500, lossless=True)
    result = tag(
        model, tmp_path / "a.webp", "--frames-every", "1s", "--strip", tmp_path / "strips", "--out", tmp_path / "o.parquet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert sorted({(row["frame"], row["time_s"]) for row in rows}) == [(0, 0.0), (2, 1.0), (4, 2.0)]
    assert [p.name for p in (tmp_path / "strips").iterdir()] == ["000-a.webp.png"]
    assert "3 images tagged" in result.stderr


def test_an_image_of_too_many_pixels_is_refused(model: Path, photos: Path) -> None:
    result = tag(model, photos / "a.png", "--max-pixels", 1999)
    assert result.exit_code == 1
    assert "50 x 40 pixels, more than 1999" in result.stderr


def test_bf16_falls_back_to_fp32_with_one_warning(model: Path, photos: Path, tmp_path: Path) -> None:
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    outputs = []
    for precision in ("bf16", "fp32"):
        arguments = ["tag", photos / "a.png", "--json", "--model", model, "--precision", precision]
        outputs.append(
            subprocess.run(
                [sys.executable, "-m", "ram", *map(str, arguments)],
                env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300,
            )
        )  # fmt: skip
    assert [output.returncode for output in outputs] == [0, 0], outputs
    assert outputs[0].stdout == outputs[1].stdout
    assert [line for line in outputs[0].stderr.splitlines() if "bf16" in line] == [
        "precision bf16 is not used: PyTorch has no fast bf16 on this cpu; using fp32"
    ]
    assert "bf16" not in outputs[1].stderr
