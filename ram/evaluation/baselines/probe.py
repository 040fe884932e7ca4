"""A linear probe: one linear layer, trained on labels, on the frozen image encoder of a checkpoint.

It says what the features are worth: a tagger that was trained on captions is compared with what labels would have taught.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ram.evaluation.baselines.interface import Asked, NameScorer, Settings
from ram.evaluation.columns import POSITIVE, UNKNOWN
from ram.evaluation.images import ImageFinder, find_images
from ram.evaluation.label_formats import Problems, read_labels
from ram.evaluation.mapping import MappedName
from ram.evaluation.scoring import best_device
from ram.inference.scorer import Scorer
from ram.io.progress import track
from ram.labels.forms import normalize
from ram.model.checkpoint import load_checkpoint

# N training images, B images, K names, D channels of the image encoder

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)  # of the squared weights; the best on held-out images is taken
_HELD_OUT = 0.1
_MAX_STEPS = 60


class LinearProbe(NameScorer):
    """Logistic regression from the mean over the image encoder's map, a name each; `settings.train` are its labels."""

    def __init__(self, source: str, settings: Settings) -> None:
        if settings.train is None:
            raise ValueError(
                "a linear probe learns from labels: describe them in a YAML file, and give it with --train"
            )
        if settings.train.images is None:
            raise ValueError(
                f"the training labels {settings.train.name} have no images; name them in their description"
            )
        self._checkpoint = load_checkpoint(Path(source), best_device())
        self._settings = settings
        self._facts: dict[str, Any] = {}

    def scores(self, asked: Asked, names: Sequence[MappedName]) -> Iterator[np.ndarray]:
        """See `NameScorer`. `ValueError` for a name that no training image is labeled with: it cannot be learned."""
        assert asked.finder is not None
        features_ND, target_NK = self._training_data(names)
        mean_D, scale_D = features_ND.mean(dim=0), features_ND.std(dim=0).clamp(min=1e-6)
        weight_KD, bias_K = self._fit((features_ND - mean_D) / scale_D, target_NK)
        for features_BD in self._features(asked.finder, asked.keys, "features"):
            logits_BK = ((features_BD - mean_D) / scale_D) @ weight_KD.T + bias_K
            yield torch.sigmoid(logits_BK).numpy()

    def _training_data(self, names: Sequence[MappedName]) -> tuple[Tensor, Tensor]:
        train = self._settings.train
        assert train is not None
        assert train.images is not None
        problems = Problems()
        labeled = read_labels(train, problems)
        finder = find_images(train.images)
        chosen, keys = finder.locate(labeled.images, problems)
        column_of = {normalize(name): k for k, name in enumerate(labeled.names)}
        target_NK = labeled.targets()(0, len(labeled.names))[chosen]
        columns = [column_of.get(normalize(name.name), -1) for name in names]
        unlearned = [
            n.name for n, k in zip(names, columns, strict=True) if k < 0 or not (target_NK[:, k] == POSITIVE).any()
        ]
        if unlearned:
            raise ValueError(
                f"{len(unlearned)} names have no positive among the training labels ({', '.join(unlearned[:5])}); leave "
                "them out by a mapping (tag -), or train on labels that have them"
            )
        features_ND = torch.cat(list(self._features(finder, keys, "features to train on")))
        readable = torch.tensor([key not in finder.broken for key in keys])
        for key, reason in finder.broken.items():
            problems.add("broken_image", f"{key}: {reason}")
        self._facts = {"num_train": int(readable.sum()), "train_problems": problems.to_json()}
        return features_ND[readable], torch.from_numpy(target_NK[:, columns])[readable]

    @torch.inference_mode()
    def _features(self, finder: ImageFinder, keys: Sequence[str], description: str) -> Iterator[Tensor]:
        scorer = Scorer(self._checkpoint, finder)
        encoder = self._checkpoint.model.image_encoder
        step = self._settings.batch_size
        for _, trunk in track(scorer.trunk_features(keys, step), description, -(-len(keys) // step), "batch"):
            yield encoder.map(trunk).mean(dim=(1, 2)).float().cpu()

    def _fit(self, features_ND: Tensor, target_NK: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and biases under the penalty that loses least on held-out images, fitted again on all of them."""
        generator = torch.Generator().manual_seed(self._settings.seed)
        order = torch.randperm(len(features_ND), generator=generator)
        num_held_out = int(len(order) * _HELD_OUT)
        best = PENALTIES[1]
        if num_held_out:
            rest, held_out = order[num_held_out:], order[:num_held_out]
            losses = {}
            for penalty in PENALTIES:
                weight_KD, bias_K = fit_logistic(features_ND[rest], target_NK[rest], penalty)
                losses[penalty] = float(_loss(features_ND[held_out] @ weight_KD.T + bias_K, target_NK[held_out]))
            best = min(losses, key=lambda penalty: losses[penalty])
        self._facts["penalty"] = best
        return fit_logistic(features_ND, target_NK, best)

    def facts(self) -> dict[str, Any]:
        """The checkpoint whose features it has, and what it learned from."""
        return {"version": self._checkpoint.version, **self._facts}


def fit_logistic(features_ND: Tensor, target_NK: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """weight_KD and bias_K of the least mean loss over known labels plus `penalty` / 2 times the squared weights, by L-BFGS."""
    num_names, width = target_NK.shape[1], features_ND.shape[1]
    parameters = torch.zeros(num_names, width + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=_MAX_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits_NK = features_ND @ parameters[:, :-1].T + parameters[:, -1]
        loss = _loss(logits_NK, target_NK) + penalty / 2 * parameters[:, :-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    fitted = parameters.detach()
    return fitted[:, :-1], fitted[:, -1]


def _loss(logits_NK: Tensor, target_NK: Tensor) -> Tensor:
    """Cross-entropy, a mean over the known labels of each name, summed over names."""
    known_NK = target_NK != UNKNOWN
    cost_NK = F.binary_cross_entropy_with_logits(logits_NK, (target_NK == POSITIVE).float(), reduction="none")
    return (cost_NK.masked_fill(~known_NK, 0.0).sum(dim=0) / known_NK.sum(dim=0).clamp(min=1)).sum()
