from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.model.checkpoint import load_checkpoint
from ram.model.text_encoder import make_text_encoder
from ram.pipeline.artifacts import read_artifact
from ram.stages import finetune, stage_call
from ram.stages.finetune import Inputs, Params, run
from ram.training.batches import BatchParams
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.sampler import Corpus

PARAMS = Params(
    seed=3,
    training=TrainingParams(
        epochs=2, batch=BatchParams(batch_size=4, num_tags_per_step=6), optimizer=OptimizerParams(learning_rate=1e-3)
    ),
    held_out_names=("green",),
)


@pytest.fixture
def inputs(drawn_workspace: Path, tmp_path: Path) -> Inputs:
    (tmp_path / "scratch").mkdir()
    values = {f: read_artifact(e, drawn_workspace) for f, e in stage_call("finetune").inputs().items()}
    return Inputs(**values, scratch=tmp_path / "scratch")


@pytest.fixture
def corpora(monkeypatch: pytest.MonkeyPatch) -> list[Corpus]:
    """The corpora that the stage trained on."""
    found: list[Corpus] = []
    train_model = finetune.train_model

    def spy(model, label_system, corpus, *rest, **options):  # type: ignore[no-untyped-def]
        found.append(corpus)
        return train_model(model, label_system, corpus, *rest, **options)

    monkeypatch.setattr(finetune, "train_model", spy)
    return found


def test_labeled_names_become_tags_and_unseen_and_held_out_ones_are_never_labels(
    inputs: Inputs, corpora: list[Corpus]
) -> None:
    outputs = run(inputs, PARAMS)
    loaded = load_checkpoint(outputs.finetuned_model)
    names = loaded.label_system.names
    assert names[-1] == "hexagon"
    # "trees" is the tag "tree"; "box" is unseen, "green" held out.
    assert sorted(loaded.extra["finetuned_tags"]) == sorted(["ball", "tree", "toy", "red", "blue", "hexagon"])
    trained = {names[tag] for tag in corpora[0].main[0].labels.columns["tag_id"]}
    assert trained == {"ball", "tree", "toy", "red", "blue"}
    assert {names[tag] for tag in np.flatnonzero(corpora[0].main[0].known_K)} == set(loaded.extra["finetuned_tags"])


def test_an_added_tag_is_embedded_by_the_text_encoder_and_old_ones_are_left(inputs: Inputs) -> None:
    loaded = load_checkpoint(run(inputs, PARAMS).finetuned_model)
    before = load_checkpoint(inputs.retrained_model)
    expected = make_text_encoder(loaded.params.text_encoder).embed(["hexagon"], loaded.params.templates)
    torch.testing.assert_close(loaded.model.tag_embedding_KE[-1:], torch.from_numpy(expected))
    torch.testing.assert_close(loaded.model.tag_embedding_KE[:-1], before.model.tag_embedding_KE)


def test_dev_is_measured_on_seen_and_unseen_names_apart(inputs: Inputs) -> None:
    curves = run(inputs, PARAMS).finetuned_curves
    assert {"mAP/drawn", "mAP_seen/drawn", "mAP_unseen/drawn"} <= set(curves["metric"])


def test_images_of_split_train_are_mixed_in_but_say_nothing_of_added_tags(
    inputs: Inputs, corpora: list[Corpus]
) -> None:
    run(inputs, dataclasses.replace(PARAMS, mix_share=0.5))
    corpus = corpora[0]
    assert corpus.extra is not None
    assert corpus.epoch_size == 12
    assert not corpus.extra.known_K[-1]
    names = load_checkpoint(inputs.retrained_model).label_system.names
    assert {names[tag] for tag in np.flatnonzero(~corpus.extra.known_K[:-1])} == {"box", "green"}


def test_images_may_be_larger_from_here_on(inputs: Inputs) -> None:
    loaded = load_checkpoint(run(inputs, dataclasses.replace(PARAMS, image_size=64)).finetuned_model)
    assert loaded.params.image_size == 64
    assert loaded.model.preprocess.image_size == 64


def test_without_a_labeled_image_it_says_what_is_missing(inputs: Inputs) -> None:
    with pytest.raises(ValueError, match="split finetune"):
        run(inputs._replace(benchmarks={}), PARAMS)
