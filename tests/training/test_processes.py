from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ram.model.build import CaptionParams
from ram.model.ram import RAM
from ram.training.arrays import Ragged, Texts
from ram.training.batches import Batches, BatchParams, Inputs
from ram.training.examples import Examples
from ram.training.loop import train
from ram.training.losses import LossParams
from ram.training.order import Corpus
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.processes import Processes

HERE = Path(__file__).parent
SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import conftest, test_processes
test_processes.train_and_save(conftest.build_tiny_model, conftest.MadeFeatures(), Path(sys.argv[1]), Path(sys.argv[2]))
"""


def train_and_save(build: Callable[..., RAM], inputs: Inputs, directory: Path, scratch: Path) -> None:
    """Train on the examples in `directory` with every loss that processes share; the main one writes the result."""
    torch.set_num_threads(1)
    examples = Examples(
        image_ids=Texts(directory / "image_ids"),
        shard_N=np.load(directory / "shard.npy"),
        labels=Ragged(directory / "labels"),
        known_K=np.ones(6, bool),
        captions=Ragged(directory / "captions"),
        caption_texts=Texts(directory / "caption_texts"),
    )
    loss = LossParams(
        caption_weight=1.0, balance=True, caption_share=0.7, caption_every=2, alignment_weight=0.5, reduction="sum"
    )
    params = TrainingParams(
        epochs=2,
        batch=BatchParams(batch_size=7, num_tags_per_step=5),
        optimizer=OptimizerParams(learning_rate=3e-3, clip_norm=1.0, ema_decay=0.9),
        loss=loss,
        log_every=1,
        embedding_noise=0.1,
    )
    processes = Processes()
    batches = Batches(
        Corpus((examples,)),
        inputs,
        params.batch,
        ["dog", "cat", "grass", "sofa", "red", "run"],
        seed=5,
        caption_share=loss.caption_share,
        caption_every=loss.caption_every,
        caption_embeddings=[np.random.default_rng(0).normal(size=(44, 16)).astype(np.float32)],
        rank=processes.rank,
        world_size=processes.world_size,
    )
    # Dropout draws other numbers for other parts of a batch, so there is none.
    caption = CaptionParams(vocabulary_size=60, num_heads=2, max_tokens=12, dropout=0.0)
    model = build(dropout=0.0, text_alignment=True, caption=caption)
    curves = train(model, batches, params, scratch, processes=processes)
    if processes.is_main:
        curves.to_csv(scratch / "curves.csv", index=False)
        torch.save(model.state_dict(), scratch / "weights.pt")


def launch(world_size: int, *arguments: str) -> None:
    """Start processes as `torchrun` and `accelerate launch` do."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    started = []
    for rank in range(world_size):
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
        environment = os.environ | {name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1"}
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(HERE.parents[1])}
        started.append(subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=environment))
    assert [process.wait(timeout=300) for process in started] == [0] * world_size


@pytest.mark.slow
def test_two_processes_train_to_the_numbers_of_one(
    examples: Examples, make_tiny_model: Callable[..., RAM], made_features: Inputs, tmp_path: Path
) -> None:
    directory = examples.image_ids.directory.parent
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    train_and_save(make_tiny_model, made_features, directory, alone)
    launch(2, str(directory), str(together))
    pd.testing.assert_frame_equal(
        pd.read_csv(together / "curves.csv"), pd.read_csv(alone / "curves.csv"), rtol=1e-3, atol=1e-5
    )
    weights = [torch.load(path / "weights.pt", weights_only=True) for path in (alone, together)]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=2e-4)
