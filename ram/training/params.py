"""The parameters of a training stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from ram.datasets.augment import AugmentParams
from ram.training.batches import BatchParams
from ram.training.losses import LossParams
from ram.training.schedule import ScheduleParams

CHECKPOINTINGS = ("none", "backbone", "tag_decoder", "all")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerParams:
    """AdamW. The published recipe decays every parameter, clips nothing and averages nothing."""

    learning_rate: float  # peak, of everything but the backbone
    backbone_factor: float = 1.0  # the backbone's learning rate, relative to that
    weight_decay: float = 0.05
    decay_vectors: bool = True  # False: biases and the weights of norms are not decayed
    clip_norm: float = 0.0  # of the gradient of all parameters; 0: no clipping
    layer_decay: float = 1.0  # factor from each block of the backbone to the one below, on top of backbone_factor
    ema_decay: float = 0.0  # of the averaged weights that are evaluated and saved; 0: the last weights are

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        for name in ("backbone_factor", "weight_decay", "clip_norm"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be in (0, 1], got {self.layer_decay}; 1 is off")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingParams:
    """How a model is trained, whatever it is trained on."""

    epochs: int
    batch: BatchParams
    optimizer: OptimizerParams
    schedule: ScheduleParams = field(default_factory=ScheduleParams)
    loss: LossParams = field(default_factory=LossParams)
    augment: AugmentParams = field(default_factory=AugmentParams)  # of images; cached features have their views
    cached_features: bool = True  # False: images are read from the shards and augmented anew every epoch
    num_views: int = 0  # cached views of an image that are used; 0: all; 1: the plain one
    embedding_noise: float = 0.0  # length of the noise added to a tag's text embedding, which has length 1
    embedding_dropout: float = 0.0  # share of an embedding's entries set to 0
    precision: str = "fp32"  # or bf16: matrix work in bfloat16, losses in float32
    gradient_checkpointing: str = "none"  # backbone, tag_decoder or all: computed anew for the gradient, not kept
    eval_every: int = 1  # evaluate on split dev every so many epochs; 0: only after the last
    log_every: int = 50  # steps that one point of a loss curve averages
    save_every_s: float = 300.0  # a killed run goes on from where it was so long ago at most
    num_loader_workers: int = 0  # processes that read and augment; 0: none but the training one

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("num_views", 0), ("eval_every", 0), ("log_every", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be fp32 or bf16, got {self.precision!r}")
        if self.gradient_checkpointing not in CHECKPOINTINGS:
            known = ", ".join(CHECKPOINTINGS)
            raise ValueError(f"gradient_checkpointing must be one of {known}, got {self.gradient_checkpointing!r}")
        if self.embedding_noise < 0 or not 0 <= self.embedding_dropout < 1:
            raise ValueError(
                f"embedding_noise must not be negative and embedding_dropout in [0, 1), "
                f"got {self.embedding_noise} and {self.embedding_dropout}"
            )
        if self.save_every_s < 0 or self.num_loader_workers < 0:
            raise ValueError("save_every_s and num_loader_workers must not be negative")
