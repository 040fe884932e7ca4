"""The code of the README and of docs/: its blocks, the command lines in them, and what stands in `backticks`."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"```(\S*)\s*")
_MARKER = re.compile(r"<!-- not run: (.+) -->")
_ENDS = {";", "&&", "||", "|", "&"}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `line` is that of its fence; `not_run` is the reason that the page gives for not running it."""

    page: str
    line: int
    language: str
    text: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order. A marker `<!-- not run: reason -->` stands on the line before its block."""
    lines = page.read_text(encoding="utf-8").splitlines()
    name = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    found, start = [], None
    for number, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        if fence and start is None:
            start = number
        elif line == "```" and start is not None:
            language = _FENCE.fullmatch(lines[start])
            assert language is not None
            marker = _MARKER.fullmatch(lines[start - 1]) if start else None
            text = "\n".join(lines[start + 1 : number]) + "\n"
            found.append(Block(name, start + 1, language[1], text, marker[1] if marker else None))
            start = None
    assert start is None, f"{name}: the block of line {(start or 0) + 1} does not end"
    return found


def file_of(text: str) -> str | None:
    """The file that a block is, or is a part of, where its first line is a comment that begins with the file's path."""
    named = re.match(r"# ((?:\w+/)*\w+\.(?:py|yaml))\b.*\n", text)
    return named[1] if named else None


def prose_of(page: Path) -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline_code(page: Path) -> list[str]:
    """What stands in `backticks` outside of blocks."""
    return re.findall(r"`([^`\n]+)`", prose_of(page))


def commands_of(text: str) -> Iterator[list[str]]:
    """The commands of a piece of shell as words, those behind a pipe, `;` or `&&` included; no comments, no variables set."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=";|&")
        words.whitespace_split = True
        words.commenters = "#"
        command: list[str] = []
        for word in [*words, ";"]:
            if word not in _ENDS:
                command.append(word)
                continue
            while command and re.fullmatch(r"\w+=.*", command[0]):
                command = command[1:]
            if command:
                yield command
            command = []


def load_script(path: Path) -> ModuleType:
    """A script of docs/, which is no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # its dataclasses look it up
    spec.loader.exec_module(module)
    return module
