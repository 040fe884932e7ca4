"""Reads artifacts of the catalog from a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ram.io import tables
from ram.io.tables import Table
from ram.pipeline.catalog import Artifact, Format


def read_artifact(entry: Artifact, workspace: Path = Path()) -> Any:
    """An artifact as stages receive it: a `Table`, a dict, a data frame or a path."""
    path = workspace / entry.path
    if entry.format is Format.TABLE:
        assert entry.schema is not None
        return Table(path, entry.schema)
    if entry.format is Format.JSON:
        return tables.read_json(path)
    if not path.exists():
        raise ValueError(f"no {entry.name} at {path}; run the stage that makes it")
    return pd.read_csv(path) if entry.format is Format.CSV else path
