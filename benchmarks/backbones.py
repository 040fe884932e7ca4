"""What it is worth to train the image encoder: the preliminary model of a recipe with it frozen, in part, whole, from scratch.

Prints a table a benchmark, as `benchmarks.model_ablation` does, at an image size that a CPU can train whole backbones at.
Finished rows are kept.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.model_ablation import run_table
from benchmarks.workspaces import ROOT

IMAGE_SIZE = 128  # in pixels; a step of a whole backbone is a third of one at 224


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A row of the table: which image encoder, and how much of it trains."""

    key: str
    title: str
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]

    def applied(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe with this image encoder; all else is the recipe's."""
        changed: dict[str, Any] = copy.deepcopy(dict(params))
        changed["model"] |= self.model
        changed["pretrain"]["training"]["optimizer"] |= self.optimizer
        return changed


# A pretrained backbone learns at a tenth of the rate of what is new, its early blocks slower still.
GENTLY = {"backbone_factor": 0.1, "layer_decay": 0.75}
FROM_SCRATCH = {"pretrained": None, "num_frozen_blocks": 0, "standardize_features": False}
BACKBONES = (
    Backbone("frozen", "the recipe's, frozen", {}, {}),
    Backbone("last", "the recipe's, its last two blocks trained", {"num_frozen_blocks": 5}, GENTLY),
    Backbone("whole", "the recipe's, trained whole", {"num_frozen_blocks": 0}, GENTLY),
    Backbone(
        "swin",
        "Swin-T from random weights",
        {"image_encoder": "swin_tiny_patch4_window7_224", **FROM_SCRATCH},
        {},
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "flickr8k.yaml")
    run_table(parser, BACKBONES, ROOT / ".state" / "backbones", image_size=IMAGE_SIZE)


if __name__ == "__main__":
    main()
