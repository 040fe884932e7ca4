"""Where images come from: one module a kind of source, and the registry of the kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ram.datasets.coco import Coco
from ram.datasets.source import Benchmark, Label, Refusal, Sample, Source
from ram.datasets.synthetic import SampleWorld
from ram.datasets.table import TableFile
from ram.datasets.webdataset import WebDataset
from ram.io.redact import holds_secret, redacted
from ram.pipeline.params import from_mapping

KINDS: dict[str, type] = {
    "coco": Coco,
    "sample_world": SampleWorld,
    "table": TableFile,
    "webdataset": WebDataset,
}


def make_source(description: Mapping[str, Any]) -> Source:
    """The source that an entry of params.yaml describes: its `kind`, and the parameters of that kind.

    Raises `ValueError` for an unknown kind, listing the known ones, for an unknown or wrong parameter, and for an address with a
    password or token in it.
    """
    kind = description.get("kind")
    if kind not in KINDS:
        raise ValueError(f"unknown kind of source {kind!r}; known: {', '.join(KINDS)}")
    parameters = {name: value for name, value in description.items() if name != "kind"}
    for name, value in parameters.items():
        if isinstance(value, str) and holds_secret(value):
            raise ValueError(
                f"{name} of source {description.get('name', '?')} holds a password or token ({redacted(value)}), which would "
                "stand in dvc.lock, MLflow and the report; put the address into an environment variable: $NAME"
            )
    source: Source = from_mapping(KINDS[kind], parameters, where=f"source {description.get('name', '?')}")
    return source


def make_sources(descriptions: Sequence[Mapping[str, Any]]) -> list[Source]:
    """The sources of a recipe; `ValueError` where two have one name or there is none."""
    sources = [make_source(description) for description in descriptions]
    names = [source.name for source in sources]
    if not names:
        raise ValueError("list_sources.sources is empty; name at least one source")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two sources are called {', '.join(sorted(twice))}; give each its own name")
    return sources


__all__ = ["Benchmark", "KINDS", "Label", "Refusal", "Sample", "Source", "make_source", "make_sources"]
