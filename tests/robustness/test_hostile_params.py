"""params.yaml with typos, of wrong types, that grows by aliases or would run code: an error that names the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ram.evaluation.label_formats import describe
from ram.io.documents import MAX_YAML_NODES, parse_json, parse_yaml
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import stage_call

ROOT = Path(__file__).resolve().parents[2]
RECIPE = (ROOT / "recipes" / "sample.yaml").read_text()


def laughs(levels: int, width: int, merged: bool = False) -> str:
    lines = ["a0: &a0 {x: 1}" if merged else "a0: &a0 [dog]"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{inner}], k{level}: 1}}" if merged else f"[{inner}]"))
    return "\n".join(lines)


BAD_YAML: dict[str, tuple[str, str]] = {
    "nine levels of nine": (laughs(10, 9), f"more than {MAX_YAML_NODES}"),
    "a million in two": (laughs(3, 1000), f"more than {MAX_YAML_NODES}"),
    "merged without end": (laughs(12, 9, merged=True), f"more than {MAX_YAML_NODES}"),
    "a list in itself": ("a: &a [*a]", "line 1, holds itself by an alias"),
    "a mapping in itself": ("a: &a {b: *a}", "holds itself by an alias"),
    "an alias of nothing": ("a: *b", "undefined alias"),
    "nesting without end": ("[" * 600, "nested too deeply|no YAML"),
    "a Python object": ("a: !!python/object/apply:os.system ['touch hacked']", "could not determine a constructor"),
    "a Python name": ("a: !!python/name:os.system", "could not determine a constructor"),
    "a tab": ("a:\n\t- b", "no YAML"),
    "an open bracket": ("a: [1, 2", "no YAML"),
    "a null byte": ("a: \0", "no YAML"),
    "two documents": ("a: 1\n---\nb: 2", "no YAML"),
    "a key that is there twice": ("a: 1\nb: {c: 1, c: 2}", "line 2, has the key 'c' for the second time"),
    "a key that is a list": ("[1, 2]: 3", "no YAML"),
    "a list": ("- a", "must hold a mapping of sections, got list"),
    "nothing": ("", "must hold a mapping of sections, got NoneType"),
    "a text": ("dog", "must hold a mapping of sections, got str"),
}


@pytest.mark.parametrize("what", BAD_YAML)
def test_yaml_that_is_no_recipe_is_refused_with_its_place(
    tmp_path: Path, what: str, within: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, said = BAD_YAML[what]
    (tmp_path / "params.yaml").write_text(text)
    with within(20), pytest.raises(ValueError, match=said) as refused:
        load_yaml(tmp_path / "params.yaml")
    assert str(tmp_path / "params.yaml") in str(refused.value)
    (tmp_path / "bench.yaml").write_text(text)
    with within(20), pytest.raises(ValueError):
        describe(str(tmp_path / "bench.yaml"))
    assert not (tmp_path / "hacked").exists()


def test_anchors_in_measure_are_written_out() -> None:
    text = "base: &base {epochs: 3, rate: 0.1}\npretrain: *base\nretrain: {<<: *base, rate: 0.2}"
    found = parse_yaml(text, "params.yaml")
    assert found["pretrain"] == {"epochs": 3, "rate": 0.1}
    assert found["retrain"] == {"epochs": 3, "rate": 0.2}


def params_of(text: str, stage: str) -> Any:
    return stage_params(parse_yaml(text, "params.yaml"), stage, stage_call(stage).module.Params)


TYPOS: dict[str, tuple[str, str, str, str]] = {
    "a parameter": ("ingest_pairs", "max_hash_distance:", "max_hash_distence:", r"ingest_pairs: unknown parameter max_hash_distence "  # noqa: E501
               r"\(did you mean max_hash_distance\?\)"),
    "a parameter of a group": ("ingest_pairs", "min_side:", "min_sides:",
                          r"limits: unknown parameter min_sides \(did you mean min_side\?\)"),
    "a section": ("ingest_pairs", "ingest_pairs:", "ingest_pair:", "has no section ingest_pairs; is 'ingest_pair' meant"),
    "a parameter of no known name": ("ingest_pairs", "min_side:", "zzz:", "unknown parameter zzz; known: min_side"),
    "a text for a number": ("ingest_pairs", "min_side: ", "min_side: x", "min_side must be int, got 'x"),
    "a list for a number": ("ingest_pairs", "min_side: ", "min_side: []  # ", r"min_side must be int, got \[\]"),
    "true for a number": ("ingest_pairs", "min_side: ", "min_side: true # ", "min_side must be int, got True"),
    "null for a number": ("ingest_pairs", "min_side: ", "min_side: null # ", "min_side must be int, got None"),
    "a negative number": ("ingest_pairs", "min_side: ", "min_side: -", "min_side must be at least 1"),
    "not a number": ("ingest_pairs", "max_aspect: ", "max_aspect: .nan # ", "max_aspect must be a finite number, got nan"),
}  # fmt: skip


@pytest.mark.parametrize("what", TYPOS)
def test_a_typo_names_the_param_and_the_nearest_one(what: str) -> None:
    stage, right, wrong, said = TYPOS[what]
    assert right in RECIPE
    params_of(RECIPE, stage)
    with pytest.raises(ValueError, match=said):
        params_of(RECIPE.replace(right, wrong, 1), stage)


def test_a_section_that_is_no_mapping_is_named() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Params:
        width: int

    for value in (3, "text", [1]):
        with pytest.raises(ValueError, match=r"draw of params\.yaml must be a mapping of parameters"):
            stage_params({"draw": value}, "draw", Params)


@pytest.mark.parametrize(
    "text", ["", "{", "[1,", "nul", "'a'", "{'a': 1}", '{"a": 1,}', "1 2", "\x00", "[" * 100_000, "9" * 5000]
)
def test_json_that_is_none_is_refused_by_the_name_of_its_file(text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.json is"):
        parse_json(text, "x.json")
