from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ram.training.batches import Batches, BatchParams
from ram.training.examples import UNKNOWN, Examples, examples_from_rows
from ram.training.losses import asymmetric_loss
from ram.training.metrics import mean_average_precision
from ram.training.sampler import Corpus

NUM_TAGS = 6


class Plain:
    cached, shards = True, False

    def read(self, image_ids: list[str], seeds: np.ndarray | None) -> torch.Tensor:
        return torch.zeros(len(image_ids), 1)


@pytest.fixture
def rows(tables: SimpleNamespace) -> pd.DataFrame:
    """Positives, negatives and unknown labels of images of split train, two of five pairs."""
    images = tables.images.to_pandas(["image_id", "split"])
    ids = images["image_id"][images["split"] == "train"].tolist()
    generator = np.random.default_rng(4)
    pairs = [(i, t) for i in ids for t in range(NUM_TAGS - 1) if generator.random() < 0.4]
    targets = generator.choice([0.0, 1.0, UNKNOWN], len(pairs)).astype(np.float32)
    image_ids, tag_ids = zip(*pairs, strict=True)
    return pd.DataFrame({"image_id": image_ids, "tag_id": tag_ids, "target": targets})


def examples_of(tables: SimpleNamespace, rows: pd.DataFrame, directory: Path, complete: bool) -> Examples:
    known_K = np.arange(NUM_TAGS) < NUM_TAGS - 1
    return examples_from_rows(directory, tables.images, "train", rows, known_K, complete=complete)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("num_tags", [0, 3])
def test_the_loss_of_a_step_is_the_loss_over_the_known_pairs_alone(
    tables: SimpleNamespace, rows: pd.DataFrame, tmp_path: Path, complete: bool, num_tags: int
) -> None:
    examples = examples_of(tables, rows, tmp_path / "own", complete)
    corpus = Corpus((examples,))
    batches = Batches(corpus, Plain(), BatchParams(batch_size=7, num_tags_per_step=num_tags), [*"abcdef"], seed=2)
    label = {(i, t): target for i, t, target in rows.itertuples(index=False)}
    ids = examples.image_ids.take(range(len(examples)))
    order, done = corpus.epoch_order(2, 0), 0
    for step in range(batches.steps_per_epoch):
        batch = batches[step]
        logits = torch.randn(batch.targets_BT.shape, generator=torch.Generator().manual_seed(step)).requires_grad_()
        loss = asymmetric_loss(
            logits, batch.targets_BT, gamma_neg=2, gamma_pos=0, clip=0.05, known_BK=batch.known_BT, reduction="mean"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        costs, is_known = [], torch.zeros_like(logits, dtype=torch.bool)
        for b in range(len(logits)):
            for t, tag in enumerate(batch.tag_ids.tolist()):
                target = label.get((ids[order[done + b]], tag), 0.0 if complete else UNKNOWN)
                if target == UNKNOWN:
                    continue
                is_known[b, t] = True
                p = torch.sigmoid(logits.detach()[b, t])
                shifted = (p - 0.05).clamp(min=0)
                costs.append(-torch.log(p) if target else -(shifted**2) * torch.log(1 - shifted))
        done += len(logits)
        torch.testing.assert_close(loss.detach(), torch.stack(costs).mean())
        assert batch.num_known == len(costs)
        assert not logits.grad[~is_known].any()
    assert done == len(examples)


def test_positives_are_counted_without_negatives_and_unknown_labels(
    tables: SimpleNamespace, rows: pd.DataFrame, tmp_path: Path
) -> None:
    counts = rows["tag_id"][rows["target"] == 1].value_counts()
    expected = [int(counts.get(tag, 0)) for tag in range(NUM_TAGS)]
    assert examples_of(tables, rows, tmp_path / "own", False).num_positives().tolist() == expected


def test_mean_average_precision_is_over_the_images_for_which_a_tag_is_known() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    positive = np.array([[False, True], [True, False], [False, False]])
    known = np.array([[False, True], [True, False], [True, False]])
    assert mean_average_precision(scores, positive, known) == 1.0
    assert mean_average_precision(scores, positive) == pytest.approx((1 / 2 + 1 / 3) / 2)
