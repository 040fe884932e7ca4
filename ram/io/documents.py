"""JSON and YAML that others wrote -> plain values; what is none is a `ValueError` that names the file and the place."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

# Aliases are small in the file and large in memory: nine levels of nine are a thousand million entries.
MAX_YAML_NODES = 100_000


def parse_json(text: str | bytes, where: str | Path) -> Any:
    """The values of a JSON document."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{where} is JSON that is nested too deeply to be read") from error
    except ValueError as error:  # of text that is no JSON, of bytes that are no UTF-8, of numbers without end
        raise ValueError(f"{where} is no JSON: {error}; mend it, or write it anew") from error


def parse_yaml(text: str, where: str | Path) -> Any:
    """The values of a YAML document of plain types, with no key twice and at most `MAX_YAML_NODES` entries in all."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node, where)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError(f"{where} is YAML that is nested too deeply to be read") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is no YAML of plain values: {error}; mend it") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of the known names that is spelled most like `name`, or an empty text where all are far off."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, 0.6)), "")


def _check_size(node: yaml.Node, where: str | Path) -> None:
    """`ValueError` for a document that is too large once its aliases are written out, and for a key that is there twice."""
    sizes: dict[int, int] = {}
    under_way: set[int] = set()

    def size_of(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in under_way:
            raise ValueError(f"{where}{_line(node)} holds itself by an alias; write its values out")
        under_way.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, where)
            parts = [part for pair in node.value for part in pair]
        else:
            parts = node.value
        sizes[id(node)] = total = 1 + sum(map(size_of, parts))
        under_way.discard(id(node))
        if total > MAX_YAML_NODES:
            raise ValueError(f"{where}{_line(node)} has {total} entries with its aliases, more than {MAX_YAML_NODES}")
        return total

    size_of(node)


def _check_keys(node: yaml.MappingNode, where: str | Path) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in seen:
                raise ValueError(f"{where}{_line(key)} has the key {key.value!r} for the second time; remove one")
            seen.add(key.value)


def _line(node: yaml.Node) -> str:
    return f", line {node.start_mark.line + 1}," if node.start_mark else ""
