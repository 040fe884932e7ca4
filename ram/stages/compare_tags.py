"""generated_tags, cleaned_tags -> balance: what the data engine does to how often tags are, and which come together."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow.compute as pc

from ram.data_engine.balance import BalanceParams, balance
from ram.io.tables import Table
from ram.labels import LabelSystem

Params = BalanceParams


class Inputs(NamedTuple):
    images: Table
    generated_tags: Table
    cleaned_tags: Table
    label_system: dict[str, Any]


class Outputs(NamedTuple):
    balance: dict[str, Any]


def run(inputs: Inputs, params: Params) -> Outputs:
    """A report; nothing is changed."""
    num_images = sum(pc.sum(pc.equal(b["split"], "train")).as_py() or 0 for b in inputs.images.batches(["split"]))
    label_system = LabelSystem.from_json(inputs.label_system)
    return Outputs(balance=balance(inputs.generated_tags, inputs.cleaned_tags, num_images, label_system, params))
