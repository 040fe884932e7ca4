from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ram.label_system import LabelSystem, Tag
from ram.model.params import ModelParams
from ram.model.tag_embeddings import EMBEDDINGS, load_tag_embeddings, save_tag_embeddings
from ram.model.text_encoder import make_text_encoder
from ram.stages.embed_tags import Inputs, Params, run

pytest.importorskip("wordllama")

LABELS = LabelSystem([Tag(tag_id=0, name="dog"), Tag(tag_id=1, name="red", kind="attribute")])
MODEL = ModelParams(image_encoder="resnet10t", image_size=32, text_encoder="package:wordllama", templates="short")


def test_rows_are_the_embeddings_of_the_tags_by_id(tmp_path: Path) -> None:
    folder = run(Inputs(LABELS.to_json(), tmp_path), Params(model=MODEL)).tag_embeddings
    embedding_KE = load_tag_embeddings(folder, LABELS, MODEL)
    wanted = make_text_encoder("package:wordllama").embed(["dog", "red"], "short")
    np.testing.assert_allclose(embedding_KE, wanted, atol=1e-6)


def test_embeddings_of_other_tags_or_another_encoder_are_refused(tmp_path: Path) -> None:
    folder = run(Inputs(LABELS.to_json(), tmp_path), Params(model=MODEL)).tag_embeddings
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
    folder = run(Inputs(LABELS.to_json(), tmp_path), Params(model=MODEL)).tag_embeddings
    embedding_KE = load_tag_embeddings(folder, LABELS, MODEL).numpy()
    save_file({"embedding_KE": embedding_KE[::-1].copy()}, folder / EMBEDDINGS)
    with pytest.raises(ValueError, match=r"is not what provenance\.json says"):
        load_tag_embeddings(folder, LABELS, MODEL)
