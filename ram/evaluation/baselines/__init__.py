"""Models and baselines behind one interface: what scores the names of a benchmark on its images.

A model is named by `kind:source`, or by a checkpoint alone: a folder, `champion`, or a version of the registry.
"""

from __future__ import annotations

from collections.abc import Callable

from ram.evaluation.baselines.interface import Asked, NameScorer, Settings


def _checkpoint(source: str, settings: Settings) -> NameScorer:
    from ram.evaluation.baselines.checkpoint import CheckpointScorer

    return CheckpointScorer(source, settings)


def _prior(source: str, settings: Settings) -> NameScorer:
    from ram.evaluation.baselines.prior import FrequencyPrior

    return FrequencyPrior(source)


def _captions(source: str, settings: Settings) -> NameScorer:
    from ram.evaluation.baselines.captions import CaptionParse

    return CaptionParse(source)


def _probe(source: str, settings: Settings) -> NameScorer:
    from ram.evaluation.baselines.probe import LinearProbe

    return LinearProbe(source, settings)


def _clip(source: str, settings: Settings) -> NameScorer:
    from ram.evaluation.baselines.clip import ClipZeroShot

    return ClipZeroShot(source, settings)


KINDS: dict[str, Callable[[str, Settings], NameScorer]] = {
    "checkpoint": _checkpoint,  # a model of ours, or a published one that `ram import-checkpoint` turned into a folder
    "prior": _prior,  # how often captions name a tag
    "captions": _captions,  # what the image's own captions say
    "probe": _probe,  # a linear layer on a checkpoint's frozen image encoder
    "clip": _clip,  # CLIP or SigLIP, zero-shot
}


def make_scorer(model: str, settings: Settings) -> NameScorer:
    """The scorer that `model` names; its `title` is `model`. `ValueError` where it cannot be made."""
    kind, colon, source = model.partition(":")
    if colon and kind in KINDS:
        if not source:
            raise ValueError(f"{model!r} wants a source behind the colon, as in {kind}:FOLDER")
        scorer = KINDS[kind](source, settings)
    else:
        scorer = _checkpoint(model, settings)
    scorer.title = model
    return scorer


__all__ = ["KINDS", "Asked", "NameScorer", "Settings", "make_scorer"]
