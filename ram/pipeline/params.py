"""params.yaml -> the dataclasses of the stages, strictly: an unknown or missing parameter is an error that names it."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ram.io.documents import nearest, parse_yaml

# Sections that several stages read; a stage takes one by having a field of that name.
SHARED_SECTIONS = ("seed", "model")
# Sections that no stage depends on: where and how fast work is done, and what is done with its result.
RUNTIME_SECTIONS = ("engine", "rounds", "promotion")

T = TypeVar("T")


def load_yaml(path: Path) -> dict[str, Any]:
    """The sections of a params file."""
    if not path.is_file():
        raise ValueError(f"no params file at {path}; `ram recipe use sample` writes one")
    sections = parse_yaml(path.read_text(encoding="utf-8"), path)
    if not isinstance(sections, dict):
        raise ValueError(f"{path} must hold a mapping of sections, got {type(sections).__name__}")
    return sections


def stage_params(sections: Mapping[str, Any], stage: str, cls: type[T]) -> T:
    """The `Params` of a stage: its own section, and the shared sections it has a field for."""
    own = sections.get(stage) or {}
    if not isinstance(own, Mapping):
        raise ValueError(f"{stage} of params.yaml must be a mapping of parameters, got {own!r}")
    if stage not in sections and _required(cls) - set(SHARED_SECTIONS):
        meant = f"; is {near!r} meant for it?" if (near := nearest(stage, map(str, sections))) else ""
        raise ValueError(f"params.yaml has no section {stage}{meant}")
    shared = {f.name for f in dataclasses.fields(cls) if f.name in SHARED_SECTIONS}  # type: ignore[arg-type]
    if missing := shared - sections.keys():
        raise ValueError(f"params.yaml lacks the section {', '.join(sorted(missing))}, which stage {stage} needs")
    if clash := shared & own.keys():
        raise ValueError(f"{stage}.{clash.pop()} is a shared section of params.yaml; set it at the top level")
    return from_mapping(cls, {**own, **{name: sections[name] for name in shared}}, where=stage)


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build dataclass `cls` from plain values; nested dataclasses, tuples and dicts of them included.

    Raises `ValueError` naming the parameter for one that is unknown, missing or of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a mapping, got {values!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := values.keys() - fields.keys():
        names = sorted(map(str, unknown))
        meant = f" (did you mean {near}?)" if (near := nearest(names[0], fields)) else ""
        raise ValueError(f"{where}: unknown parameter {', '.join(names)}{meant}; known: {', '.join(fields)}")
    if missing := _required(cls) - values.keys():
        raise ValueError(f"{where}: missing parameter {', '.join(sorted(missing))}")
    hints = typing.get_type_hints(cls)
    built = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**built)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _required(cls: type) -> set[str]:
    missing = dataclasses.MISSING
    return {f.name for f in dataclasses.fields(cls) if f.default is missing and f.default_factory is missing}


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(args, value, where)
    if origin is typing.Literal:
        if value not in args:
            raise ValueError(f"{where} must be one of {', '.join(map(str, args))}, got {value!r}")
        return value
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} must be a list, got {value!r}")
        if origin is tuple and Ellipsis not in args:
            if len(args) != len(value):
                raise ValueError(f"{where} must have {len(args)} entries, got {value!r}")
            return tuple(_convert(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(args, value, strict=True)))
        return origin(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a mapping, got {value!r}")
        return {k: _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    errors = []
    for hint in args:
        if hint is type(None):
            continue
        try:
            return _convert(hint, value, where)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError("; or ".join(errors) or f"{where} may not be {value!r}")


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        raise ValueError(f"{where} must be a number, got the text {value!r}: YAML reads 1e-4 as text, write 1.0e-4")
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} must be a finite number, got {value}")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where} must be {hint.__name__}, got {value!r}")
    return value
