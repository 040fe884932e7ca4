"""A recipe whose retraining takes a second on the drawn workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ram.pipeline.params import load_yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def recipe() -> dict[str, Any]:
    sections = load_yaml(ROOT / "recipes" / "sample.yaml")
    sections["retrain"] |= {"start_from": "preliminary"}
    sections["retrain"]["training"] |= {"epochs": 1, "precision": "fp32", "loss": {"reduction": "image"}}
    sections["evaluate"] |= {"num_bootstrap": 0}
    return sections
