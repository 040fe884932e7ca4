"""preliminary model, or a checkpoint that a parameter names -> generator model: which model proposes tags to the data engine.

It is cheap and always run, so that a checkpoint that changed under its name is seen.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ram.io.tables import copy_folder, read_json
from ram.labels import LabelSystem
from ram.model.checkpoint import CONFIG, LABELS, WEIGHTS

PRELIMINARY = "preliminary"


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    checkpoint: str  # preliminary, or a checkpoint folder: of an earlier round, imported, of another workspace

    def __post_init__(self) -> None:
        if not self.checkpoint:
            raise ValueError(f"checkpoint must be {PRELIMINARY} or a checkpoint folder, got an empty name")


class Inputs(NamedTuple):
    preliminary_model: Path
    label_system: dict[str, Any]
    scratch: Path


class Outputs(NamedTuple):
    generator_model: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    """A copy of the checkpoint; of the preliminary one, links to its files. `ValueError` where it knows none of the tags."""
    own = params.checkpoint == PRELIMINARY
    source = inputs.preliminary_model if own else Path(os.path.expandvars(params.checkpoint)).expanduser()
    if missing := [name for name in (CONFIG, WEIGHTS, LABELS) if not (source / name).is_file()]:
        raise ValueError(
            f"choose_generator.checkpoint is {params.checkpoint}, and {source} has no {missing[0]}: name a checkpoint folder, or "
            f"{PRELIMINARY}. One of an earlier round comes back by `dvc checkout {params.checkpoint}` or `dvc pull`"
        )
    label_system = LabelSystem.from_json(inputs.label_system)
    generator = LabelSystem.from_json(read_json(source / LABELS))
    num_known = sum(generator.find(name) is not None for name in label_system.names)
    if own and generator.version != label_system.version:
        raise ValueError(
            f"the preliminary model has label system {generator.version}, the pipeline {label_system.version}; run "
            "pretrain again"
        )
    if num_known == 0:
        raise ValueError(
            f"{source} knows none of the {len(label_system)} tags of the label system; choose another model"
        )
    print(f"the generator is {params.checkpoint}: it knows {num_known} of {len(label_system)} tags", file=sys.stderr)
    directory = inputs.scratch / "generator"
    copy_folder(source, directory, link=own)
    return Outputs(generator_model=directory)
