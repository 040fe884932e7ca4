"""The parameters of a fine-tuning on one's own tags."""

from __future__ import annotations

from dataclasses import dataclass

from ram.datasets.augment import AugmentParams
from ram.evaluation.fitting import ThresholdParams
from ram.training.batches import BatchParams
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.schedule import ScheduleParams

# No color operations: one's own tags may well be colors.
AUGMENT = AugmentParams(min_scale=0.5, num_operations=0)
THRESHOLDS = ThresholdParams(
    target="f1",
    min_precision=0.8,
    prior_positives=10.0,
    min_kind_positives=50,
    min_open_set_positives=50,
    open_set_factor=0.8,
    calibration="platt",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """The parameters of a fine-tuning on one's own tags."""

    epochs: int = 10
    learning_rate: float = 5e-4  # peak, of everything but the backbone
    backbone_factor: float = 0.1  # the backbone's learning rate, relative to that
    batch_size: int = 32
    image_size: int | None = None  # side in pixels from here on; None: as before
    num_views: int = 4  # of a frozen backbone: views of an image that are computed once and trained on
    dev_share: float = 0.1  # of the images, held out
    complete: bool = False  # what an image's rows do not name is absent; False: it is unknown
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.dev_share < 1:
            raise ValueError(f"dev_share must be in [0, 1), got {self.dev_share}")
        if self.num_views < 1:
            raise ValueError(f"num_views must be at least 1, the plain image, got {self.num_views}")
        self.training()

    def training(self) -> TrainingParams:
        return TrainingParams(
            epochs=self.epochs,
            batch=BatchParams(batch_size=self.batch_size),
            optimizer=OptimizerParams(
                learning_rate=self.learning_rate,
                backbone_factor=self.backbone_factor,
                decay_vectors=False,
                clip_norm=2.0,
            ),
            schedule=ScheduleParams(kind="onecycle", warmup_share=0.15),
            augment=AUGMENT,
        )
