"""The rules of the design, as tests: the graph, the parameters and the code say the same."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ram.pipeline.executors import EngineParams
from ram.pipeline.params import RUNTIME_SECTIONS, SHARED_SECTIONS, from_mapping, load_yaml, stage_params
from ram.pipeline.runner import StageCall
from ram.registry.promotion import PromotionParams
from ram.registry.rounds import RoundParams
from ram.stages import stage_call, stage_names

ROOT = Path(__file__).resolve().parents[2]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def _entries() -> dict[str, tuple[StageCall, dict]]:
    """Every stage of dvc.yaml by full name, with its definition; foreach stages unrolled."""
    found = {}
    for name, definition in DVC.items():
        if "foreach" not in definition:
            found[name] = (stage_call(name), definition)
            continue
        for item in definition["foreach"]:
            key = f"{name}@{item}"
            values = definition["foreach"][item] if isinstance(definition["foreach"], dict) else item
            found[key] = (stage_call(key), _fill(definition["do"], values, item))
    return found


def _fill(node: object, values: object, key: str) -> dict:
    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name == "key":
            return key
        return str(values[name.removeprefix("item.")] if isinstance(values, dict) else values)

    return yaml.safe_load(re.sub(r"\$\{([^}]+)\}", replace, yaml.safe_dump(node)))


ENTRIES = _entries()


def _paths(items: list) -> set[str]:
    return {item if isinstance(item, str) else next(iter(item)) for item in items}


def test_every_stage_module_is_in_the_graph_and_every_stage_of_the_graph_has_a_module() -> None:
    assert {call.stage for call, _ in ENTRIES.values()} == set(stage_names())
    for stage in stage_names():
        items = set(getattr(stage_call(next(n for n in ENTRIES if n.split("@")[0] == stage)).module, "ITEMS", {}))
        assert items == {n.split("@")[1] for n in ENTRIES if n.split("@")[0] == stage and "@" in n}


@pytest.mark.parametrize("name", ENTRIES)
def test_graph_runs_the_stage_by_its_name(name: str) -> None:
    assert ENTRIES[name][1]["cmd"] == f"python -m ram stage {name}"


@pytest.mark.parametrize("name", ENTRIES)
def test_outputs_in_the_graph_are_the_outputs_of_the_code(name: str) -> None:
    call, definition = ENTRIES[name]
    given = _paths([*definition.get("outs", []), *definition.get("metrics", []), *definition.get("plots", [])])
    assert given == {entry.path.as_posix() for entry in call.outputs().values()}


@pytest.mark.parametrize("name", ENTRIES)
def test_dependencies_in_the_graph_are_the_inputs_and_the_modules_of_the_code(name: str) -> None:
    call, definition = ENTRIES[name]
    deps = _paths(definition.get("deps", []))
    data = {d for d in deps if not d.startswith("ram/")}
    assert data == {entry.path.as_posix() for entry in call.inputs().values()}
    code = {d for d in deps if d.startswith("ram/")}
    needed = {_unit(p) for p in _imported(ROOT / "ram" / "stages" / f"{call.stage}.py")}
    assert code == needed, f"dvc.yaml: stage {name} imports {sorted(needed - code)} more, {sorted(code - needed)} less"


def _unit(path: Path) -> str:
    """What a dependency names: a file of `stages`, `io` and `pipeline`, whose modules serve different stages; else a package."""
    relative = path.relative_to(ROOT)
    by_file = len(relative.parts) == 2 or relative.parts[1] in ("stages", "io", "pipeline")
    return relative.as_posix() if by_file else f"ram/{relative.parts[1]}"


_PLUMBING = re.compile(  # changes no result
    r"ram/(__init__|io/__init__|pipeline/__init__|stages/__init__|io/locks|io/progress|pipeline/executors/\w+)\.py"
)


def _imported(start: Path) -> set[Path]:
    """Every module of ram that `start` imports, directly or not, plumbing left out; `start` is in it."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path in seen or _PLUMBING.fullmatch(_unit(path)):
            continue
        seen.add(path)
        todo += _imports(path)
    return seen


def _imports(path: Path) -> list[Path]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found = []
    for name in names:
        if name.split(".")[0] == "ram":
            base = ROOT.joinpath(*name.split("."))
            found += [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]
    return found


@pytest.mark.parametrize("name", ENTRIES)
def test_params_in_the_graph_are_the_params_of_the_code(name: str) -> None:
    call, definition = ENTRIES[name]
    fields = {f.name for f in dataclasses.fields(call.module.Params)}
    parts = getattr(call.module, "SHARED_PARAMS", {})
    shared = {f"{s}.{parameter}" for s in fields & parts.keys() for parameter in parts[s]} | (
        fields & set(SHARED_SECTIONS)
    ) - parts.keys()
    assert set(definition.get("params", [])) == shared | ({call.stage} if fields - set(SHARED_SECTIONS) else set())


@pytest.mark.parametrize("path", [*RECIPES, ROOT / "params.yaml"], ids=lambda p: p.stem)
def test_every_recipe_gives_every_stage_its_params_and_no_other(path: Path) -> None:
    sections = load_yaml(path)
    for call, _ in ENTRIES.values():
        stage_params(sections, call.stage, call.module.Params)
    from_mapping(EngineParams, sections["engine"], where="engine")
    from_mapping(PromotionParams, sections["promotion"], where="promotion")
    from_mapping(RoundParams, sections["rounds"], where="rounds")
    with_params = {
        c.stage
        for c, _ in ENTRIES.values()
        if {f.name for f in dataclasses.fields(c.module.Params)} - set(SHARED_SECTIONS)
    }
    assert set(sections) == with_params | set(SHARED_SECTIONS) | set(RUNTIME_SECTIONS)


def test_every_stage_module_has_a_test() -> None:
    tests = {path.stem for path in (ROOT / "tests" / "stages").glob("test_*.py")}
    assert {f"test_{stage}" for stage in stage_names()} <= tests


def test_library_imports_without_the_orchestrators_and_the_training_side_without_the_analysis_tools() -> None:
    code = """
import importlib, pkgutil, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED: raise ImportError(f"blocked: {name}")
sys.meta_path.insert(0, Block())
BLOCKED = {"prefect", "dvc", "mlflow", "great_expectations", "spacy", "hdbscan", "fast_hdbscan"}
import ram
for module in pkgutil.walk_packages(ram.__path__, "ram."):
    if module.name not in ("ram.__main__", "ram.serving.pyfunc"): importlib.import_module(module.name)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_training_and_tagging_import_with_what_a_gpu_worker_has() -> None:
    code = """
import importlib, pkgutil, sys
BLOCKED = {"prefect", "dvc", "mlflow", "great_expectations", "spacy", "hdbscan", "fast_hdbscan"}
BLOCKED |= {"matplotlib", "torchmetrics", "imagehash", "jinja2", "wordfreq"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED: raise ImportError(f"blocked: {name}")
sys.meta_path.insert(0, Block())
import ram.model, ram.training, ram.inference
for package in (ram.model, ram.training, ram.inference):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."): importlib.import_module(module.name)
for stage in ("pretrain", "retrain", "finetune", "embed_tags", "embed_images"): importlib.import_module(f"ram.stages.{stage}")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_file_names_a_path_of_the_machine_it_was_written_on_or_a_package_registry() -> None:
    # Of a checkout that belongs to another user, git says nothing unless it is told to.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    assert "pyproject.toml" in listed
    needles = ["/" + "work/", "pypi" + ".org", "pythonhosted" + ".org", "registry.npm" + "js.org"]
    for name in listed:
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 2_000_000:
            text = path.read_bytes().decode("utf-8", errors="ignore")
            assert not [n for n in needles if n in text], name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_holds_nothing_that_dvc_would_take_for_an_interpolation(recipe: Path) -> None:
    # `dvc exp run -S` fails on a ${VARIABLE} that it does not know; paths say $VARIABLE.
    assert "${" not in recipe.read_text()
