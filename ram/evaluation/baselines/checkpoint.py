"""A checkpoint folder of ours, trained here or imported from a published file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ram.evaluation.baselines.interface import Asked, NameScorer, Settings, text_of
from ram.evaluation.benchmarks import embedding_rows
from ram.evaluation.mapping import MappedName
from ram.evaluation.scoring import best_device
from ram.inference.scorer import Scorer
from ram.inference.tagger import load
from ram.model.text_encoder import make_text_encoder


class CheckpointScorer(NameScorer):
    """A name's score is that of its tag, by the model's own embedding; of several tags, the highest; else of its text.

    Tags never interact in the tag decoder, so only the rows wanted are scored.
    """

    def __init__(self, source: str, settings: Settings) -> None:
        self.tagger = load(source, best_device())
        self.checkpoint = self.tagger.checkpoint
        self.label_system = self.checkpoint.label_system
        self._settings = settings

    def scores(self, asked: Asked, names: Sequence[MappedName]) -> Iterator[np.ndarray]:
        """See `NameScorer`."""
        texts = list(dict.fromkeys(text_of(name.name) for name in names if not name.tags))
        wanted = sorted({tag.tag_id for name in names for tag in name.tags})
        own_KE = self.checkpoint.model.tag_embedding_KE.detach().cpu().numpy()
        rows, row_of = embedding_rows(texts, wanted, own_KE, self._embed)
        groups = [
            [row_of[tag.tag_id] for tag in name.tags] if name.tags else [row_of[text_of(name.name)]] for name in names
        ]
        first = [group[0] for group in groups]
        several = [(k, group) for k, group in enumerate(groups) if len(group) > 1]
        scorer = Scorer(self.checkpoint, asked.finder)
        for _, scores_BM in scorer.scores(asked.keys, rows, batch_size=self._settings.batch_size):
            scores_BK = scores_BM[:, first]
            for k, group in several:
                scores_BK[:, k] = scores_BM[:, group].max(axis=1)
            yield scores_BK

    def thresholds(self, names: Sequence[MappedName]) -> tuple[np.ndarray, str]:
        """The checkpoint's own; for a name of several tags the lowest of theirs."""
        of = self.tagger.thresholds.of
        values = [min(of(tag) for tag in name.tags) if name.tags else of(None) for name in names]
        return np.array(values), "the checkpoint's own, a tag each"

    def facts(self) -> dict[str, Any]:
        """The version and what is on record of its training."""
        extra = self.checkpoint.extra
        return {
            "version": self.checkpoint.version,
            "label_system": self.checkpoint.label_system.version,
            **{key: extra[key] for key in ("imported_from", "family") if key in extra},
        }

    def held_out(self) -> set[str]:
        """Tags of the names that fine-tuning was told to leave out."""
        found = (self.checkpoint.label_system.find(n) for n in self.checkpoint.extra.get("held_out_names", ()))
        return {tag.name for tag in found if tag is not None}

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        model, params = self.checkpoint.model, self.checkpoint.params
        rows = torch.from_numpy(make_text_encoder(params.text_encoder).embed(texts, params.templates))
        return model.tag_decoder.from_text(rows.to(model.device), model.tag_embedding_KE).cpu().numpy()
