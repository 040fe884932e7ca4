"""The parameters of the gate: section `promotion` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionParams:
    """Every rule has a parameter; null turns a rule off."""

    benchmark: str  # whose metric decides
    min_value: float  # the least that a champion must reach
    metric: str = "mAP"
    min_gain: float = 0.0  # over the champion; 0: any gain
    confidence: float | None = None  # that the gain is above min_gain, by a paired bootstrap over the test images
    num_bootstrap: int = 500  # resamples of the images
    max_kind_drop: float | None = None  # of the mAP of any kind of tag
    max_tag_drop: float | None = None  # of the average precision of any frequent tag
    min_tag_positives: int = 20  # labels on the test images that make a tag frequent
    max_drop: dict[str, float] = field(default_factory=dict)  # {"benchmark/metric": how far it may fall}
    max_calibration_error: float | None = None  # of the calibrated scores on the test images
    max_latency_ms: float | None = None  # of one image on the machine that registers, median
    max_size_mib: float | None = None  # of the checkpoint
    require_checks: bool = False  # every table passed its check
    min_shadow_agreement: float | None = (
        None  # with the champion, by `ram models shadow`; null: no shadow run is needed
    )

    def __post_init__(self) -> None:
        if self.min_gain < 0:
            raise ValueError(
                f"min_gain must be at least 0, got {self.min_gain}: a champion is not replaced by a worse one"
            )
        for name, drop in self.max_drop.items():
            if "/" not in name or drop < 0:
                raise ValueError(f"max_drop maps benchmark/metric to a number of at least 0, got {name}: {drop}")
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence must be at least 0.5 and below 1, or null, got {self.confidence}")
        if self.confidence is not None and self.metric != "mAP":
            raise ValueError(f"confidence is of mAP: with metric {self.metric} it must be null")
        if self.num_bootstrap < 20:
            raise ValueError(f"num_bootstrap must be at least 20, got {self.num_bootstrap}")
        if self.min_tag_positives < 1:
            raise ValueError(f"min_tag_positives must be at least 1, got {self.min_tag_positives}")
        self._require_at_least_0()
        if self.min_shadow_agreement is not None and not 0 <= self.min_shadow_agreement <= 1:
            raise ValueError(f"min_shadow_agreement must be 0 to 1, or null, got {self.min_shadow_agreement}")

    def _require_at_least_0(self) -> None:
        limits = ("max_kind_drop", "max_tag_drop", "max_calibration_error", "max_latency_ms", "max_size_mib")
        for name in limits:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be at least 0, or null, got {value}")

    @property
    def deciding(self) -> str:
        return f"{self.benchmark}/{self.metric}"

    @property
    def compares_images(self) -> bool:
        """Whether any rule needs the scores of both models image by image."""
        return any(parameter is not None for parameter in (self.confidence, self.max_kind_drop, self.max_tag_drop))
