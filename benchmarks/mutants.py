"""Do the tests notice a small change of the code? Mutants of a module, each under the tests of that module.

python -m benchmarks.mutants ram/training/losses.py tests/training/test_losses.py [more tests …] [--every 1] [--limit_s 60]

A mutant has one comparison, sum, product, constant, condition or argument changed. It is killed where a test fails, or where
the tests take longer than `--limit_s`; one that survives is printed with its line: either a test is missing, or the change means
the same. Every mutant runs in a process forked after the heavy imports, so it costs what its tests do. Linux alone; nothing on
disk is changed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
               ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}  # fmt: skip
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
              ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult, ast.Pow: ast.Mult}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}
HEAVY = ("numpy", "pandas", "pyarrow", "scipy", "sklearn", "sklearn.metrics", "torch", "hypothesis", "pytest")


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """The changed forms of one node."""
    changed = copy.deepcopy(node)
    if isinstance(changed, ast.Compare) and type(changed.ops[0]) in COMPARISONS:
        changed.ops[0] = COMPARISONS[type(changed.ops[0])]()
        yield changed
    elif isinstance(changed, ast.BinOp | ast.AugAssign) and type(changed.op) in ARITHMETIC:
        changed.op = ARITHMETIC[type(changed.op)]()
        yield changed
    elif isinstance(changed, ast.Constant) and isinstance(changed.value, bool):
        changed.value = not changed.value
        yield changed
    elif isinstance(changed, ast.Constant) and isinstance(changed.value, int | float):
        changed.value += 1
        yield changed
    elif isinstance(changed, ast.BoolOp):
        changed.op = ast.Or() if isinstance(changed.op, ast.And) else ast.And()
        yield changed
    elif isinstance(changed, ast.UnaryOp) and isinstance(changed.op, ast.Not | ast.USub | ast.Invert):
        yield changed.operand
    elif isinstance(changed, ast.If | ast.IfExp):
        for value in (True, False):
            forced = copy.deepcopy(changed)
            forced.test = ast.Constant(value)
            yield forced
    elif isinstance(changed, ast.Call):
        name = changed.func
        if isinstance(name, ast.Attribute) and name.attr in CALLS:
            name.attr = CALLS[name.attr]
            yield changed
        elif isinstance(name, ast.Name) and name.id in CALLS:
            name.id = CALLS[name.id]
            yield changed
        elif changed.keywords and isinstance(changed.keywords[-1].arg, str):
            changed.keywords.pop()
            yield changed


def mutants(source: str) -> Iterator[tuple[int, str, str, str]]:
    """(line, before, after, source) of every mutant; annotations, documentation and messages stay as they are."""
    tree = ast.parse(source)
    kept = {id(inner) for node in ast.walk(tree) for part in _said(node) for inner in ast.walk(part)}
    nodes = [node for node in ast.walk(tree) if id(node) not in kept]
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in kept or node not in nodes:
            continue
        for changed in variants(node):
            copied = copy.deepcopy(tree)
            target = list(ast.walk(copied))[number]
            replaced = ast.fix_missing_locations(_Replace(target, changed).visit(copied))
            before, after = (ast.unparse(part).splitlines()[0] for part in (node, changed))
            if before != after:
                yield node.lineno, before, after, ast.unparse(replaced)  # type: ignore[attr-defined]


def _said(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that are no behavior."""
    for name in ("annotation", "returns"):
        if (part := getattr(node, name, None)) is not None:
            yield part
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
        yield node
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield from node.decorator_list


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, changed: ast.AST) -> None:
        self._target, self._changed = target, changed

    def visit(self, node: ast.AST) -> ast.AST:
        return self._changed if node is self._target else self.generic_visit(node)


class _Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self._module, self._path, self._source = module, path, source

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._module:
            return None
        is_package = self._path.name == "__init__.py"
        return importlib.util.spec_from_file_location(
            name, self._path, loader=self, submodule_search_locations=[str(self._path.parent)] if is_package else None
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)


def survives(path: Path, source: str, tests: list[str], limit_s: float) -> tuple[bool, str]:
    """Whether all tests pass with this source of the module, and how it ended."""
    child = os.fork()
    if not child:
        with Path(os.devnull).open("w") as nothing, contextlib.suppress(BaseException):
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            parts = path.with_suffix("").parts
            sys.meta_path.insert(
                0, _Importer(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path.resolve(), source)
            )
            import pytest

            os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])))
        os._exit(99)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0, "passed" if status == 0 else "failed"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, "too long"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th mutant")
    parser.add_argument("--limit_s", type=float, default=60)
    options = parser.parse_args()
    for name in HEAVY:
        importlib.import_module(name)
    source = options.module.read_text(encoding="utf-8")
    fine, how = survives(options.module, source, options.tests, options.limit_s * 3)
    if not fine:
        raise SystemExit(f"the tests do not pass on the module as it is: {how}")
    ends: Counter[str] = Counter()
    for line, before, after, changed in list(mutants(source))[:: options.every]:
        lives, how = survives(options.module, changed, options.tests, options.limit_s)
        ends[how] += 1
        if lives:
            print(f"{options.module}:{line}: {before}  ->  {after}", flush=True)
    print(
        f"{options.module}: {ends.total()} mutants, {ends['failed']} killed, {ends['too long']} too long, "
        f"{ends['passed']} survive"
    )


if __name__ == "__main__":
    main()
