from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from ram.labels import LabelSystem, Tag
from ram.model.params import ModelParams
from ram.model.tag_embeddings import EMBEDDINGS, load_tag_embeddings, save_tag_embeddings
from ram.model.text_encoder import make_text_encoder
from ram.stages.embed_tags import Inputs, Params, neighbors, run

pytest.importorskip("wordllama")

LABELS = LabelSystem([Tag(tag_id=0, name="dog"), Tag(tag_id=1, name="red", kind="attribute")])
MODEL = ModelParams(image_encoder="resnet10t", image_size=32, text_encoder="package:wordllama", templates="short")


def test_rows_are_the_embeddings_of_the_tags_by_id(tmp_path: Path) -> None:
    folder = run(Inputs(LABELS.to_json(), tmp_path), Params(model=MODEL, min_similarity=0.9)).tag_embeddings
    embedding_KE = load_tag_embeddings(folder, LABELS, MODEL)
    wanted = make_text_encoder("package:wordllama").embed(["dog", "red"], "short")
    np.testing.assert_allclose(embedding_KE, wanted, atol=1e-6)


def test_embeddings_of_other_tags_or_another_encoder_are_refused(tmp_path: Path) -> None:
    folder = run(Inputs(LABELS.to_json(), tmp_path), Params(model=MODEL, min_similarity=0.9)).tag_embeddings
    with pytest.raises(ValueError, match=r"label_system_version .* run embed_tags again"):
        load_tag_embeddings(folder, LABELS.extended(["cat"]), MODEL)
    other = ModelParams(image_encoder="resnet10t", image_size=32, text_encoder="package:wordllama", templates="plain")
    with pytest.raises(ValueError, match="templates short, not plain"):
        load_tag_embeddings(folder, LABELS, other)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 0.0]], "1 tags have no embedding: 'red'"),
        ([[0.0, 0.0], [1.0, 0.0]], "1 tags have a zero or non-finite embedding: 'dog'"),
        ([[1.0, 0.0], [np.nan, 0.0]], "'red'"),
        ([[1.0, 0.0]] * 3, "3 embeddings for 2 tags"),
    ],
)
def test_missing_zero_and_non_finite_rows_are_refused_by_name(
    tmp_path: Path, rows: list[list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        save_tag_embeddings(tmp_path, np.array(rows, np.float32), LABELS, "clip:x", "short")


def test_embeddings_that_were_changed_afterwards_are_refused(tmp_path: Path) -> None:
    folder = run(Inputs(LABELS.to_json(), tmp_path), Params(model=MODEL, min_similarity=0.9)).tag_embeddings
    embedding_KE = load_tag_embeddings(folder, LABELS, MODEL).numpy()
    save_file({"embedding_KE": embedding_KE[::-1].copy()}, folder / EMBEDDINGS)
    with pytest.raises(ValueError, match=r"is not what provenance\.json says"):
        load_tag_embeddings(folder, LABELS, MODEL)


def test_tags_that_are_each_other_s_nearest_are_suggested_as_one() -> None:
    tags = [
        ("sea", 3, ()),
        ("ocean", 9, ()),
        ("tree", 5, ()),
        ("tree trunk", 2, ()),
        ("dog", 5, ("animal",)),
        ("animal", 1, ()),
    ]
    labels = LabelSystem(
        [Tag(tag_id=i, name=n, frequency=f, parents=p) for i, (n, f, p) in enumerate(tags)]
        + [Tag(tag_id=6, name="blue", kind="attribute")]
    )
    angles = np.array([0, 5, 60, 62, 120, 121, 2]) * np.pi / 180  # blue lies between sea and ocean, and is no thing
    embedding_KE = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    frame = neighbors(labels, embedding_KE, min_similarity=0.9)
    assert frame[["decision", "action", "tag", "value"]].to_numpy().tolist() == [["", "merge", "sea", "ocean"]]
    assert neighbors(labels, embedding_KE, min_similarity=0.999).empty


@given(st.integers(2, 40), st.integers(0, 99))
def test_neighbors_are_those_of_all_pairs_compared(num_tags: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(num_tags, 3))
    embedding_KE = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    names = [f"{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(num_tags)]
    labels = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(names)])
    with mock.patch("ram.stages.embed_tags._CHUNK", 7):
        found = neighbors(labels, embedding_KE, min_similarity=0.8)
    similar = embedding_KE @ embedding_KE.T - 3 * np.eye(num_tags)
    best = similar.argmax(axis=1)
    wanted = {(i, j) for i, j in enumerate(best) if best[j] == i and i < j and 0.8 <= similar[i, j] < 1}
    pairs = {tuple(sorted((names.index(a), names.index(b)))) for a, b in zip(found["tag"], found["value"], strict=True)}
    assert pairs == wanted
