from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ram.datasets.augment import AugmentParams
from ram.labels import LabelSystem
from ram.model.build import CaptionParams, ModelParams
from ram.model.checkpoint import checkpoint_version, load_checkpoint
from ram.model.tag_embeddings import save_tag_embeddings
from ram.model.text_encoder import make_text_encoder
from ram.pipeline.artifacts import read_artifact
from ram.stages import embed_images, pretrain, stage_call
from ram.stages.pretrain import Inputs, Outputs, Params, run
from ram.training.batches import BatchParams
from ram.training.losses import LossParams
from ram.training.params import OptimizerParams, TrainingParams

MODEL = ModelParams(
    image_encoder="resnet10t", image_size=32, num_frozen_blocks=2, token_width=16, width=16, num_heads=2, ffn_ratio=2.0,
    pre_norm=True, standardize_features=True, text_encoder="package:wordllama", templates="plain",
    caption=CaptionParams(vocabulary_size=60, num_heads=2, max_tokens=12),
)  # fmt: skip
PARAMS = Params(
    seed=3,
    model=MODEL,
    training=TrainingParams(
        epochs=2,
        batch=BatchParams(batch_size=8, num_tags_per_step=5),
        optimizer=OptimizerParams(learning_rate=1e-3, ema_decay=0.9, clip_norm=1.0),
        loss=LossParams(caption_weight=1.0, balance=True),
    ),
    num_calibration_images=16,
)


@pytest.fixture
def inputs(drawn_workspace: Path, tmp_path: Path) -> Inputs:
    values = {
        field: read_artifact(entry, drawn_workspace)
        for field, entry in stage_call("pretrain").inputs().items()
        if field != "tag_embeddings"
    }
    system, encoder = LabelSystem.from_json(values["label_system"]), make_text_encoder(MODEL.text_encoder)
    directory = tmp_path / "tag_embeddings"
    save_tag_embeddings(directory, encoder.embed(system.names, "plain"), system, MODEL.text_encoder, "plain")
    (tmp_path / "scratch").mkdir()
    return Inputs(**values, tag_embeddings=directory, scratch=tmp_path / "scratch")


def rerun(inputs: Inputs, params: Params, scratch: Path) -> Outputs:
    scratch.mkdir()
    return run(inputs._replace(scratch=scratch), params)


def test_preliminary_model_tags_and_captions_and_its_curves_say_how_it_trained(inputs: Inputs) -> None:
    outputs = run(inputs, PARAMS)
    loaded = load_checkpoint(outputs.preliminary_model)
    assert loaded.label_system.names == LabelSystem.from_json(inputs.label_system).names
    assert loaded.extra["num_images"] + loaded.extra["num_images_without_tags"] == 24
    with torch.no_grad():
        tokens_BND = loaded.model.encode(torch.randn(2, 3, 32, 32))
    assert loaded.model.tag_logits(tokens_BND).isfinite().all()
    assert len(loaded.model.generate_captions(tokens_BND, [["red"], []])[0]) == 2
    curves = outputs.preliminary_curves
    assert {"loss_tag", "loss_caption", "learning_rate", "gradient_norm"} <= set(curves["metric"])
    assert set(curves[curves["split"] == "dev"]["metric"]) == {"mAP/drawn", "mAP_seen/drawn", "mAP_unseen/drawn"}


def test_features_are_standardized_over_the_training_images(inputs: Inputs) -> None:
    encoder = load_checkpoint(run(inputs, PARAMS).preliminary_model).model.image_encoder
    assert (encoder.channel_mean_C != 0).any()
    assert (encoder.channel_scale_C != 1).any()


def test_the_same_seed_gives_the_same_model_and_another_seed_another(inputs: Inputs, tmp_path: Path) -> None:
    versions = [
        checkpoint_version(rerun(inputs, dataclasses.replace(PARAMS, seed=seed), tmp_path / str(i)).preliminary_model)
        for i, seed in enumerate((3, 3, 4))
    ]
    assert versions[0] == versions[1] != versions[2]


def test_cached_features_are_used_where_they_fit_and_images_where_not(
    inputs: Inputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "features").mkdir()
    given = embed_images.Inputs(inputs.images, inputs.image_shards, tmp_path / "features")
    parameters = embed_images.Params(seed=3, model=MODEL, enabled=True, num_views=2, augment=AugmentParams())
    features = embed_images.run(given, parameters).image_features
    rerun(inputs._replace(image_features=features), PARAMS, tmp_path / "cached")
    assert "cached features an epoch" in capsys.readouterr().err
    other = dataclasses.replace(PARAMS, model=dataclasses.replace(MODEL, num_frozen_blocks=1))
    rerun(inputs._replace(image_features=features), other, tmp_path / "images")
    assert "images an epoch" in capsys.readouterr().err


def test_a_tag_that_a_benchmark_calls_unseen_is_no_label(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(model: object, label_system: object, corpus: object, *rest: object, **options: object) -> None:
        seen.extend(corpus.main[0].labels.columns["tag_id"].tolist())  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "train_model", spy)
    with pytest.raises(KeyboardInterrupt):
        run(inputs, PARAMS)
    system = LabelSystem.from_json(inputs.label_system)
    box, ball = system.find("box"), system.find("ball")
    assert box is not None
    assert ball is not None
    assert box.tag_id not in seen
    assert ball.tag_id in seen


def test_captions_align_the_images_where_that_is_asked_for(inputs: Inputs) -> None:
    model = dataclasses.replace(MODEL, text_alignment=True, caption=None)
    training = dataclasses.replace(PARAMS.training, loss=LossParams(alignment_weight=0.5))
    curves = run(inputs, dataclasses.replace(PARAMS, model=model, training=training)).preliminary_curves
    assert "loss_alignment" in set(curves["metric"])


def test_learned_tags_train_on_the_tags_of_a_benchmark_that_are_no_unseen_ones(inputs: Inputs) -> None:
    model = dataclasses.replace(MODEL, tag_queries="learned")
    outputs = run(inputs, dataclasses.replace(PARAMS, model=model))
    loaded = load_checkpoint(outputs.preliminary_model)
    assert loaded.model.tag_decoder.learns_tags
    assert loaded.model.num_tags == len(LabelSystem.from_json(inputs.label_system))
    curves = outputs.preliminary_curves
    assert set(curves[curves["split"] == "dev"]["metric"]) == {"mAP/drawn"}
