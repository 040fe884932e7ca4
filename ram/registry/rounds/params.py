"""The parameters of the rounds: section `rounds` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundParams:
    """When a further round is not worth it; null turns a rule off."""

    min_tag_change: float | None  # share of the kept tags of two rounds that only one of them has: less, and they end
    min_gain: (
        float | None
    )  # of the retrained model's mAP on split dev over that of the round before: less, and they end

    def __post_init__(self) -> None:
        if self.min_tag_change is not None and not 0 <= self.min_tag_change <= 1:
            raise ValueError(f"rounds.min_tag_change must be in [0, 1] or null, got {self.min_tag_change}")
        if self.min_gain is not None and not -1 <= self.min_gain <= 1:
            raise ValueError(f"rounds.min_gain must be in [-1, 1] or null, got {self.min_gain}")
