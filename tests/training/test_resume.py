"""A run that is killed for real, in the middle of an epoch, with everything on that draws random numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from ram.datasets.augment import AugmentParams
from ram.model.ram import RAM
from ram.training.batches import Batches, BatchParams
from ram.training.distributed import Processes
from ram.training.examples import Examples, stored_examples
from ram.training.inputs import ImageInputs
from ram.training.loop import STATE_NAME, train
from ram.training.losses import LossParams
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.sampler import Corpus

HERE = Path(__file__).parent
SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import conftest, test_resume
test_resume.train_and_save(
    conftest.build_tiny_model, Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], test_resume.DiesAt(int(sys.argv[4]))
)
"""


class DrawnImages:
    """Images of noise by name, as an image store opens them."""

    def open(self, image_id: str, min_size: int | None = None) -> Image.Image:
        rng = np.random.default_rng(zlib.crc32(image_id.encode()))
        return Image.fromarray(rng.integers(0, 256, (48, 40, 3), dtype=np.uint8))


class DiesAt(Processes):
    """A process that is killed in the given step, between the gradient and the update."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.steps_left = step

    def clip_gradient(self, parameters: Sequence[torch.nn.Parameter], limit: float) -> Tensor:
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps_left -= 1
        return super().clip_gradient(parameters, limit)


def train_and_save(
    build: Callable[..., RAM], directory: Path, scratch: Path, precision: str, processes: Processes
) -> None:
    torch.set_num_threads(1)
    examples = stored_examples(directory, np.ones(6, bool))
    params = TrainingParams(
        epochs=2,
        batch=BatchParams(batch_size=8, num_tags_per_step=5, negative_power=0.5),
        optimizer=OptimizerParams(learning_rate=3e-3, layer_decay=0.8, clip_norm=1.0, ema_decay=0.9),
        loss=LossParams(caption_weight=1.0, balance=True, reduction="sum", caption_share=0.8),
        augment=AugmentParams(min_scale=0.3, num_operations=2, magnitude=5.0),
        cached_features=False,
        embedding_noise=0.2,
        embedding_dropout=0.1,
        precision=precision,
        gradient_checkpointing="all",
        log_every=2,
        save_every_s=0.0,
        num_loader_workers=2,
    )
    model = build(
        num_frozen_blocks=2,
        image_size=32,
        dropout=0.2,
        num_tags_per_chunk=2,
        image_encoder_options={"drop_path_rate": 0.3},
    )
    inputs = ImageInputs(DrawnImages(), model.preprocess, params.augment)  # type: ignore[arg-type]
    names = ["dog", "cat", "grass", "sofa", "red", "run"]
    batches = Batches(Corpus((examples,)), inputs, params.batch, names, seed=5, caption_share=params.loss.caption_share)
    assert batches.steps_per_epoch == 3
    with patch("ram.training.step.has_bf16", lambda device: True):  # PyTorch has bf16 on every CPU
        curves = train(model, batches, params, scratch, evaluate=first_bias, processes=processes)
    curves.to_csv(scratch / "curves.csv", index=False)
    torch.save(model.state_dict(), scratch / "weights.pt")


def first_bias(model: RAM) -> dict[str, float]:
    return {"bias": float(model.tag_decoder.fc.bias.detach()[0])}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_process_killed_in_the_middle_of_an_epoch_goes_on_to_the_same_bits(
    examples: Examples, make_tiny_model: Callable[..., RAM], tmp_path: Path, precision: str
) -> None:
    directory, whole, killed = examples.image_ids.directory.parent, tmp_path / "whole", tmp_path / "killed"
    for scratch in (whole, killed):
        scratch.mkdir()
    train_and_save(make_tiny_model, directory, whole, precision, Processes())
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(HERE.parents[1])}
    for step, done in ((1, 1), (3, 4)):  # the second one has the first one's step behind it: killed in epoch 2
        command = [sys.executable, "-c", SCRIPT, str(directory), str(killed), precision, str(step)]
        assert subprocess.run(command, env=environment, timeout=300).returncode == -signal.SIGKILL
        assert torch.load(killed / STATE_NAME, weights_only=True)["step"] == done
    train_and_save(make_tiny_model, directory, killed, precision, Processes())
    pd.testing.assert_frame_equal(
        *(pd.read_csv(path / "curves.csv", float_precision="round_trip") for path in (killed, whole)), check_exact=True
    )
    weights = [torch.load(path / "weights.pt", weights_only=True) for path in (killed, whole)]
    differing = [name for name, value in weights[1].items() if not torch.equal(value, weights[0][name])]
    assert not differing
