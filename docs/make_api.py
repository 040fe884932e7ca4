"""Writes docs/api.md from the signatures and docstrings of what is public.

python -m docs.make_api
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"

# What is public: a heading, and below it module and names. Classes come with their public methods.
PUBLIC: dict[str, list[tuple[str, list[str]]]] = {
    "Tag images": [
        ("ram.inference.tagger", ["load", "Tagger"]),
        ("ram.inference.results", ["TagScore", "ImageTags", "Result"]),
        ("ram.inference.thresholds", ["Thresholds"]),
        ("ram.io.images", ["ImageError"]),
        ("ram.inference.timeline", ["tag_video", "Timeline"]),
    ],
    "Tags": [("ram.labels", ["LabelSystem", "Tag", "EmbeddingProvenance"])],
    "Models": [
        ("ram.model.checkpoint", ["load_checkpoint", "save_checkpoint", "Checkpoint"]),
        ("ram.model.params", ["ModelParams", "CaptionParams", "DistillationParams"]),
        ("ram.model.build", ["build_model", "build_image_encoder"]),
    ],
    "Run stages": [
        ("ram.stages", ["run_stage"]),
        ("ram.pipeline.artifacts", ["read_artifact"]),
        ("ram.pipeline.catalog", ["Artifact", "artifact"]),
        ("ram.io.tables", ["Table"]),
    ],
    "Add to it": [
        ("ram.datasets.source", ["Source", "FileSource", "Sample", "Label", "Refusal", "Benchmark"]),
        ("ram.model.text_encoder", ["TextEncoder", "make_text_encoder"]),
        ("ram.data_engine.localize", ["Localizer", "Rows", "Sources"]),
        ("ram.data_engine.detectors", ["TagRows", "DetectorParams"]),
    ],
}
AS_EXPORTED = {"ram.inference.tagger.load": "ram.load"}  # what `import ram` alone gives

_HEAD = """# API

Made by `python -m docs.make_api` from the docstrings: change those, not this page. Commands: `ram --help`.
Parameters: the comments of
`params.yaml`, and the dataclasses `Params` of `ram/stages`.
"""


@dataclass
class Module:
    """A module's definitions by name, and the comments at the ends of its lines."""

    name: str
    definitions: dict[str, ast.AST] = field(default_factory=dict)
    comments: dict[int, str] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str) -> Module:
        base = ROOT.joinpath(*name.split("."))
        path = next(p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file())
        source = path.read_text(encoding="utf-8")
        named = (ast.FunctionDef, ast.ClassDef)
        definitions: dict[str, ast.AST] = {
            node.name: node for node in ast.parse(source).body if isinstance(node, named)
        }
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
        return cls(name, definitions, comments)


def page() -> str:
    """The whole of docs/api.md."""
    lines = [_HEAD]
    for heading, modules in PUBLIC.items():
        lines.append(f"## {heading}\n")
        for name, wanted in modules:
            module = Module.read(name)
            for definition in wanted:
                if definition not in module.definitions:
                    raise ValueError(f"{name} defines no {definition}; mend PUBLIC in {Path(__file__).name}")
                lines += _described(module, definition)
    return "\n".join(lines)


def _described(module: Module, name: str) -> Iterator[str]:
    node = module.definitions[name]
    full = AS_EXPORTED.get(f"{module.name}.{name}", f"{module.name}.{name}")
    yield f"### `{full}`\n"
    if isinstance(node, ast.FunctionDef):
        yield _signature(node, name)
        yield _prose(node, full)
        return
    assert isinstance(node, ast.ClassDef)
    initializer = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    yield _prose(node, full)
    if fields := list(_fields(module, node)):
        yield "| field | type | default | |\n|---|---|---|---|\n" + "\n".join(fields) + "\n"
    if initializer is not None:
        yield _signature(initializer, name)
        if ast.get_docstring(initializer):
            yield _prose(initializer, full)
    for method in (n for n in node.body if isinstance(n, ast.FunctionDef)):
        if method.name == "__call__" or not method.name.startswith("_"):
            shown = name.lower() if method.name == "__call__" else f"{name}.{method.name}"
            yield _signature(method, shown)
            yield _prose(method, f"{full}.{method.name}")


def _signature(node: ast.FunctionDef, name: str) -> str:
    if any(ast.unparse(d) in ("property", "cached_property") for d in node.decorator_list):
        return f"```text\n{name}: {ast.unparse(node.returns) if node.returns else ''}\n```\n"
    arguments = list(_arguments(node.args))
    if arguments and arguments[0] in ("self", "cls"):
        arguments = arguments[1:]
    returns = "" if node.returns is None or node.name == "__init__" else f" -> {ast.unparse(node.returns)}"
    one_line = f"{name}({', '.join(arguments)}){returns}"
    if len(one_line) > 118:
        lines = "".join(f"    {argument},\n" for argument in arguments)
        one_line = f"{name}(\n{lines}){returns}"
    return f"```text\n{one_line}\n```\n"


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    """Each as `name: type = default`, and the star that stands before those that must be named."""
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    for argument, default in zip(positional, [*missing, *arguments.defaults], strict=True):
        yield _argument(argument, default)
    if arguments.vararg:
        yield f"*{_argument(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)
    if arguments.kwarg:
        yield f"**{_argument(arguments.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return f"{argument.arg}{kind}" + (f" = {ast.unparse(default)}" if default else "")


def _fields(module: Module, node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            comment = module.comments.get(item.end_lineno or 0, "")
            cells = (item.target.id, ast.unparse(item.annotation), _default(item.value))
            name, kind, default = (f"`{cell}`".replace("|", "\\|") if cell else "" for cell in cells)
            yield f"| {name} | {kind} | {default} | {comment.replace('|', chr(92) + '|')} |"


def _default(value: ast.expr | None) -> str:
    """What a field is where nobody says: `field(default=x)` is x, `field(default_factory=f)` is f()."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords}
        return given.get("default", f"{given['default_factory']}()" if "default_factory" in given else "")
    return ast.unparse(value) if value else ""


def _prose(node: ast.FunctionDef | ast.ClassDef, full: str) -> str:
    text = ast.get_docstring(node)
    if text is None:
        raise ValueError(f"{full} is public and has no docstring: say what it gives, its unit, shape and errors")
    return text + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
