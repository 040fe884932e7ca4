"""Are these command lines right? Each is read by the command line that it names, up to where the work would begin.

`python tests/support/command_lines.py` takes a JSON list of commands, each a list of words, and prints a JSON list of what is
wrong with each, null where nothing is. It is a process of its own: the command lines of MLflow and Prefect import a lot.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

# What is read here by nobody but the shell.
SHELL = {"head", "find", "export", "curl", "base64", "mkdir"}


class Wrong(Exception):
    """The command line, or what it names, does not exist."""


class _Parsed(Exception):
    """Raised where the work of a module would begin."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.arguments = arguments


def check(words: Sequence[str]) -> None:
    """Raises `Wrong` for a command line that its program would refuse."""
    program, *arguments = words
    program = program.removeprefix(".venv/bin/")
    if program in SHELL:
        return
    if program not in CHECKS:
        raise Wrong(f"nothing reads {program!r}: add it to CHECKS, or say `<!-- not run: reason -->` before the block")
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            CHECKS[program](arguments)
        except SystemExit as end:
            raise Wrong(errors.getvalue().strip() or f"{program} ended with {end.code}") from end


def check_ram(arguments: Sequence[str]) -> None:
    from typer.main import get_command

    from ram.cli.main import app

    _check_click(get_command(app), "ram", arguments)


def _check_click(command: Any, name: str, arguments: Sequence[str], parent: Any = None) -> None:
    """Read by Click or by Typer's own copy of it, group after group; no callback is called."""
    try:
        context = command.make_context(name, list(arguments), parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        rest = [*context._protected_args, *context.args]
        sub_name, sub, rest = command.resolve_command(context, rest)
    except Exception as error:
        message = getattr(error, "format_message", error.__str__)()
        raise Wrong(f"{name}: {message or type(error).__name__}") from error
    _check_click(sub, sub_name, rest, context)


def check_python(arguments: Sequence[str]) -> None:
    if arguments[:1] != ["-m"] or len(arguments) < 2:
        raise Wrong("only `python -m MODULE` is read")
    check_module(arguments[1], arguments[2:])


_READS_ARGUMENTS = ("ArgumentParser(", "over_seeds(")  # the latter has the parser of benchmarks of several seeds


def check_module(module: str, arguments: Sequence[str]) -> None:
    if module == "ram":
        return check_ram(arguments)
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise Wrong(f"no module {module}")
    source = Path(spec.origin).read_text(encoding="utf-8")
    if 'if __name__ == "__main__":' not in source:
        raise Wrong(f"{module} does nothing when it is run")
    if not any(reads in source for reads in _READS_ARGUMENTS):
        if arguments:
            raise Wrong(f"{module} takes no arguments, got {' '.join(arguments)}")
        return None
    names = vars(_parsed(module, arguments))
    stages = [*names.get("targets", []), *names.get("force", []), *names.get("keep", [])]
    return _check_stages([*stages, *filter(None, [names.get("from_stage")])])


def _parsed(module: str, arguments: Sequence[str]) -> argparse.Namespace:
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        raise _Parsed(parse(self, args, namespace))

    before, sys.argv = sys.argv, [module, *arguments]
    argparse.ArgumentParser.parse_args = stop  # type: ignore[method-assign,assignment]
    try:
        runpy.run_module(module, run_name="__main__")
    except _Parsed as parsed:
        return parsed.arguments
    finally:
        argparse.ArgumentParser.parse_args = parse  # type: ignore[method-assign]
        sys.argv = before
    raise Wrong(f"{module} ran without reading its arguments")


def _check_stages(names: Sequence[str]) -> None:
    known = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name in names:
        if name.partition("@")[0] not in known:
            raise Wrong(f"no stage {name}; dvc.yaml has {', '.join(known)}")


def check_dvc(arguments: Sequence[str]) -> None:
    from dvc.cli import DvcParserError
    from dvc.cli.parser import get_main_parser

    try:
        names = vars(get_main_parser().parse_args(list(arguments)))
    except DvcParserError as error:
        raise Wrong(f"dvc {' '.join(arguments)}: {error.__cause__ or error.__context__ or error}") from error
    if names["cmd"] in ("repro", "commit"):
        _check_stages(names["targets"])
    for change in names.get("set_param") or []:
        check_param(change.partition("=")[0])


def check_param(name: str) -> None:
    """`section.parameter.parameter` of params.yaml."""
    at: Any = yaml.safe_load((ROOT / "params.yaml").read_text())
    for part in name.split("."):
        if not isinstance(at, Mapping) or part not in at:
            raise Wrong(f"params.yaml has no {name}")
        at = at[part]


def check_mlflow(arguments: Sequence[str]) -> None:
    from mlflow.cli import cli

    _check_click(cli, "mlflow", arguments)


def check_prefect(arguments: Sequence[str]) -> None:
    import prefect.cli  # noqa: F401  its commands are attached by this
    from cyclopts import CycloptsError
    from prefect.cli._app import _app

    words = [word for word in arguments if word != "--no-prompt"]
    try:
        _app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise Wrong(f"prefect {' '.join(words)}: {error}") from error
    if words[:2] == ["deployment", "run"]:
        deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
        known = {f"{Path(d['entrypoint'].partition(':')[0]).stem}/{d['name']}": d["parameters"] for d in deployments}
        if words[2] not in known:
            raise Wrong(f"no deployment {words[2]}; prefect.yaml has {', '.join(known)}")
        for given in (words[i + 1] for i, word in enumerate(words) if word == "-p"):
            if given.partition("=")[0] not in known[words[2]]:
                raise Wrong(
                    f"{words[2]} has no parameter {given.partition('=')[0]}; it has {', '.join(known[words[2]])}"
                )


def check_torchrun(arguments: Sequence[str]) -> None:
    from torch.distributed.run import get_args_parser

    _check_launched(get_args_parser().parse_args(list(arguments)))


def check_accelerate(arguments: Sequence[str]) -> None:
    from accelerate.commands.launch import launch_command_parser

    if arguments[:1] != ["launch"]:
        raise Wrong("only `accelerate launch` is read")
    _check_launched(launch_command_parser().parse_args(list(arguments[1:])))


def _check_launched(names: argparse.Namespace) -> None:
    if not names.module:
        raise Wrong("only modules are launched (-m)")
    check_module(names.training_script, names.training_script_args)


def check_make(arguments: Sequence[str]) -> None:
    done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Wrong(done.stderr.strip())


def check_pip(arguments: Sequence[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wanted in arguments[1:]:
        name, _, extras = wanted.rstrip("]").partition("[")
        unknown = [e for e in extras.split(",") if e and e not in known["optional-dependencies"]]
        if name == known["name"] and unknown:
            raise Wrong(f"{name} has no extra {unknown[0]}; it has {', '.join(known['optional-dependencies'])}")


def check_copied(arguments: Sequence[str]) -> None:
    if missing := [name for name in arguments[:-1] if not (ROOT / name).exists()]:
        raise Wrong(f"{missing[0]} is not in the repository")


def check_sourced(arguments: Sequence[str]) -> None:
    if arguments != [".venv/bin/activate"]:
        raise Wrong(f"nothing but .venv/bin/activate is sourced, got {arguments}")


CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "ram": check_ram,
    "python": check_python,
    "dvc": check_dvc,
    "mlflow": check_mlflow,
    "prefect": check_prefect,
    "torchrun": check_torchrun,
    "accelerate": check_accelerate,
    "make": check_make,
    "pip": check_pip,
    "cp": check_copied,
    ".": check_sourced,
}


def wrong_with(commands: Sequence[Sequence[str]]) -> list[str | None]:
    """What is wrong with each, looked up in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps([*map(list, commands)]), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    answers: list[str | None] = json.loads(done.stdout.splitlines()[-1])
    return answers


def _answers(commands: Sequence[Sequence[str]]) -> Iterator[str | None]:
    for words in commands:
        try:
            check(words)
        except Wrong as error:
            yield str(error)
        else:
            yield None


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    print(json.dumps(list(_answers(json.load(sys.stdin)))))
