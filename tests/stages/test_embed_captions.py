from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn import embed_pairs

from ram.io.arrays import RowIndex
from ram.io.tables import Table, as_arrow, write_part
from ram.model.text_encoder import TextEncoder, make_text_encoder
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.stages import embed_captions, run_stage
from ram.training.captions import example_embeddings, load_embeddings
from ram.training.examples import examples_from_tags

WORDLLAMA = "package:wordllama"
MINILM = "package:all-minilm-l6-v2"
CAPTIONS = ["a red ball on a table", "ball", "two dogs that run after a ball across a wide green meadow in summer"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    model = {"image_encoder": "resnet10t", "image_size": 32, "text_encoder": WORDLLAMA}
    sections = {"engine": {"num_workers": 1}, "model": model}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    return tmp_path


def write_pairs(workspace: Path, part: int, captions: Sequence[str], split: str = "train") -> None:
    rows = [
        {"image_id": f"s/{part}-{i}", "split": split, "caption_index": i % 3, "caption": caption}
        for i, caption in enumerate(captions)
    ]
    schema = artifact("pairs").schema
    assert schema is not None
    write_part(as_arrow(rows, schema), workspace / artifact("pairs").path, part, schema)


def embedded(workspace: Path) -> pd.DataFrame:
    run_stage("embed_captions", workspace / "params.yaml", workspace)
    return read_artifact(artifact("caption_embeddings"), workspace).to_pandas()


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_every_train_caption_has_its_embedding_in_the_order_of_pairs(workspace: Path) -> None:
    write_pairs(workspace, 0, CAPTIONS)
    write_pairs(workspace, 1, ["a caption to be tested on"], split="test")
    write_pairs(workspace, 2, CAPTIONS[::-1])
    found = embedded(workspace)
    assert found["image_id"].tolist() == ["s/0-0", "s/0-1", "s/0-2", "s/2-0", "s/2-1", "s/2-2"]
    assert found["caption_index"].tolist() == [0, 1, 2, 0, 1, 2]
    assert set(found["text_encoder"]) == {WORDLLAMA}
    wanted = unit(make_text_encoder(WORDLLAMA).encode([*CAPTIONS, *CAPTIONS[::-1]]))
    np.testing.assert_allclose(np.stack(found["embedding"]), wanted, atol=2e-3)


def test_half_precision_and_sorting_by_length_change_an_embedding_by_little() -> None:
    encoder = make_text_encoder(MINILM)
    encoder.batch_size = 2
    found = encoder.embed_captions(CAPTIONS)
    assert found.dtype == np.float16
    cosine = (found.astype(np.float64) * unit(encoder.encode(CAPTIONS))).sum(axis=1)
    assert cosine.min() > 0.999


def test_a_part_of_the_same_captions_is_not_embedded_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(workspace, 0, CAPTIONS)
    before = embedded(workspace)
    asked: list[str] = []
    plain = TextEncoder.embed_captions

    def spy(encoder: TextEncoder, captions: Sequence[str]) -> np.ndarray:
        asked.extend(captions)
        return plain(encoder, captions)

    monkeypatch.setattr(TextEncoder, "embed_captions", spy)
    write_pairs(workspace, 1, ["a new caption"])
    after = embedded(workspace)
    assert asked == ["a new caption"]
    pd.testing.assert_frame_equal(after.iloc[: len(before)], before)


def test_captions_of_other_splits_alone_give_an_empty_table(workspace: Path) -> None:
    write_pairs(workspace, 0, CAPTIONS, split="test")
    assert embedded(workspace).empty


def test_an_array_has_the_captions_of_the_images_that_are_asked_for(workspace: Path, tmp_path: Path) -> None:
    write_pairs(workspace, 0, CAPTIONS)
    table = embed_pairs(workspace / artifact("pairs").path, tmp_path / "embeddings")
    index = RowIndex([np.array(["s/0-2", "s/none", "s/0-0"], object)])
    found = load_embeddings(tmp_path / "array.npy", table, index, WORDLLAMA)
    wanted = table.to_pandas()["embedding"]
    np.testing.assert_array_equal(found, np.stack([wanted[0], wanted[2]]))
    shutil.rmtree(tmp_path / "embeddings")
    np.testing.assert_array_equal(load_embeddings(tmp_path / "array.npy", table, index, WORDLLAMA), found)


def test_embeddings_of_another_text_encoder_are_refused(workspace: Path, tmp_path: Path) -> None:
    write_pairs(workspace, 0, CAPTIONS)
    table = embed_pairs(workspace / artifact("pairs").path, tmp_path / "embeddings")
    with pytest.raises(ValueError, match=r"made with text encoder 'package:wordllama', and the model has 'package:all"):
        load_embeddings(tmp_path / "array.npy", table, RowIndex([]), MINILM)


def test_embeddings_that_lack_a_caption_are_refused(drawn_workspace: Path, tmp_path: Path) -> None:
    images, pairs, tags = (
        read_artifact(artifact(name), drawn_workspace) for name in ("images", "pairs", "parsed_tags")
    )
    examples = examples_from_tags(tmp_path / "examples", images, pairs, tags, np.ones(100, bool))
    table = read_artifact(artifact("caption_embeddings"), drawn_workspace)
    assert len(example_embeddings(examples, table, WORDLLAMA)) == len(examples.caption_texts) > 0
    (tmp_path / "examples" / "caption_embeddings.npy").unlink()
    rows = table.read().slice(3)
    write_part(rows, tmp_path / "fewer", 0, table.schema)
    with pytest.raises(ValueError, match=r"captions of the images to train on.*run embed_captions again"):
        example_embeddings(examples, Table(tmp_path / "fewer", table.schema), WORDLLAMA)


def test_the_text_encoder_is_made_once_a_process(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    embed_captions._encoder.cache_clear()
    monkeypatch.setattr(embed_captions, "make_text_encoder", lambda spec: made.append(spec) or make_text_encoder(spec))
    for part in range(3):
        write_pairs(workspace, part, CAPTIONS)
    run_stage("embed_captions", workspace / "params.yaml", workspace)
    assert made == [WORDLLAMA]
