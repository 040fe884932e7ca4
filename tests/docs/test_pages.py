"""The pages say what is there: made pages are up to date, links lead somewhere, names in the text exist."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from code_blocks import PAGES, ROOT, inline_code, load_script, prose_of

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


def test_the_page_of_the_api_is_what_the_docstrings_say() -> None:
    made = load_script(ROOT / "docs" / "make_api.py").page()
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == made, "run: python -m docs.make_api"


def test_what_the_package_exports_is_on_the_page_of_the_api() -> None:
    import ram

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert {name for name in ram.__all__ if f"### `ram.{name}`" not in page} == {"__version__"}


def _anchor(heading: str) -> str:
    """As the usual viewers of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose_of(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{page.name}: {target} has no such heading"


def test_every_page_is_in_the_index_and_the_index_is_linked_from_the_readme() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {target.partition("#")[0] for target in LINK.findall(index)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"README.md"}
    assert "](docs/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_image_in_docs_is_shown_and_small() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for image in (ROOT / "docs").rglob("*.png"):
        assert image.relative_to(ROOT / "docs").as_posix() in text, f"no page shows {image.name}"
        assert image.stat().st_size < 300_000, image


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_stands_in_backticks_exists(page: Path) -> None:
    wrong = [complaint for code in inline_code(page) if (complaint := _complaint(code))]
    assert not wrong, "\n".join(wrong)


def _complaint(code: str) -> str | None:
    """What is wrong with a file, a module, a target of make, an option of `ram` or a parameter that a page names."""
    words = code.split()
    if re.fullmatch(r"(ram|docs|tests|benchmarks|flows|recipes)/[\w./]+", code):
        return None if (ROOT / code).exists() else f"no file {code}"
    if words[:2] == ["python", "-m"] and len(words) > 2:
        found = importlib.util.find_spec(words[2])
        return None if found else f"no module {words[2]}"
    if words[0] == "make" and len(words) == 2 and words[1].islower():
        rules = (ROOT / "Makefile").read_text()
        return None if re.search(rf"^{re.escape(words[1])}:", rules, re.MULTILINE) else f"no target: {code}"
    if words[0] == "ram" and len(words) > 1:
        return _complaint_of_ram(words[1:])
    head, *rest = code.partition(":")[0].split(".")
    if (
        head in PARAMS
        and rest
        and rest[-1] not in ("md", "py", "safetensors")
        and all(re.fullmatch(r"[a-z_0-9]+", part) for part in rest)
    ):
        at = PARAMS[head]
        for part in rest:
            if isinstance(at, dict) and part not in at and not _is_optional(code):
                return f"no parameter {code}"
            at = at.get(part) if isinstance(at, dict) else None
    return None


def _is_optional(code: str) -> bool:
    """Whether the parameter stands in a dataclass of the code, though no recipe of the sample sets it."""
    name = code.partition(":")[0].rsplit(".", 1)[-1]
    return re.search(rf"^    {name}: ", _sources(), re.MULTILINE) is not None


@cache
def _sources() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ram").rglob("*.py"))


def _complaint_of_ram(words: list[str]) -> str | None:
    from typer.main import get_command

    from ram.cli.main import app

    command = get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command `ram … {words[0]}`"
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [w for w in words if w.startswith("--") and w.partition("=")[0].rstrip(",;.") not in options]
    return f"`ram {command.name}` has no {unknown[0]}" if unknown else None


def test_every_section_of_the_results_with_figures_names_its_command_and_date() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    sections = [section for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:] if "|---|" in section]
    assert len(sections) >= 4
    for section in sections:
        name = section.partition("\n")[0]
        assert re.search(r"`(?:export [^`]*; )?(?:python -m benchmarks|make|ram) ?[^`]*`", section), (
            f"{name}: no command"
        )
        assert re.search(r"\b20\d\d-\d\d-\d\d\b", section), f"{name} has figures and no date"


def test_citation_and_changelog_are_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # What version 1.2.0 of the format requires:
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert f"## [{project['version']}] - 20" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
