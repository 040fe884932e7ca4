"""Data Docs that open without network: no script, font, style sheet or image from elsewhere, and a front page.

Great Expectations' pages load bootstrap, jQuery, vega and icons from six hosts, and their logo from a bucket with the
context's id in its address. What is left here is their content with one small style sheet of our own.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
_LINK = re.compile(r"<link\b[^>]*>")
_STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL)
_IMAGE = re.compile(r"<img\b[^>]*>", re.DOTALL)
_FOOTER = re.compile(r"<footer\b.*?</footer>", re.DOTALL)
_ACTIONS = re.compile(r'<div class="card mb-3">\s*<div class="card-header p-2">\s*<strong>Actions</strong>.*?</label>\s*</div>\s*</div>\s*</div>\s*</div>\s*</div>', re.DOTALL)  # fmt: skip  # noqa: E501
_ANCHOR = re.compile(r'<a\b[^>]*href="https?://[^"]*"[^>]*>(.*?)</a>', re.DOTALL)
# A folded block opens by bootstrap's JavaScript; <details> needs none.
_FOLD = re.compile(r'<p class="m-0">\s*<a data-toggle="collapse"[^>]*>\s*(.*?)\s*</a>\s*</p>', re.DOTALL)
_ICONS = {"fa-check-circle": "✓", "fa-times": "✗", "fa-exclamation-triangle": "!"}
_ICON = re.compile(r'<i class="(fas[^"]*)"[^>]*>\s*</i>')
_EXTERNAL = re.compile(r"""(?:src|href)\s*=\s*["'](?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import""")


def finish(site_dir: Path, report: Mapping[str, Any]) -> Path:
    """Rewrite the pages under `site_dir` in place and put a front page over them; returns `site_dir`."""
    style = resources.files("ram.validation").joinpath("data_docs.css").read_text(encoding="utf-8")
    shutil.rmtree(site_dir / "static", ignore_errors=True)
    pages = sorted(p for p in site_dir.rglob("*.html") if p != site_dir / "index.html")
    for page in pages:
        page.write_text(offline(page.read_text(encoding="utf-8"), style), encoding="utf-8")
    (site_dir / "index.html").write_text(_front_page(report, pages, site_dir, style), encoding="utf-8")
    return site_dir


def offline(page: str, style: str) -> str:
    """A page of Great Expectations without anything from elsewhere, readable with `style` alone."""
    for pattern in (_SCRIPT, _LINK, _STYLE, _FOOTER, _ACTIONS):
        page = pattern.sub("", page)
    page = _IMAGE.sub("All checks", page)
    page = _ANCHOR.sub(r"\1", page)
    page = _FOLD.sub(r'<p class="fold">\1</p>', page)
    page = _ICON.sub(_icon, page)
    page = page.replace("</head>", f"<style>{style}</style></head>", 1)
    assert not external_references(page), external_references(page)
    return page


def external_references(page: str) -> list[str]:
    """References of a page that a browser would fetch or follow from another host."""
    return [page[m.start() : m.start() + 120] for m in _EXTERNAL.finditer(page)]


def _icon(match: re.Match[str]) -> str:
    kind = "bad" if "text-danger" in match[1] else "warn" if "text-warning" in match[1] else "good"
    sign = next((sign for name, sign in _ICONS.items() if name in match[1]), "•")
    return f'<i class="{kind}">{sign}</i>'


def _front_page(report: Mapping[str, Any], pages: list[Path], site_dir: Path, style: str) -> str:
    verdict = "passed" if report["passed"] else "failed"
    sign = {"passed": "good", "failed": "bad"}[verdict]
    rows = "\n".join(_row(expectation) for expectation in sorted(report["expectations"], key=lambda e: e["passed"]))
    failures = "".join(f"<li>{html.escape(failure)}</li>" for failure in report["failures"])
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in report["notes"])
    links = "".join(
        f'<li><a href="{page.relative_to(site_dir).as_posix()}">{html.escape(_title(page, site_dir))}</a></li>'
        for page in pages
    )
    table = html.escape(report["table"])
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{table}: {verdict}</title><style>{style}</style></head>
<body><main class="front">
<h1>{table} <span class="badge {sign}">{verdict}</span></h1>
<p>{report["num_rows"]:,} rows, {len(report["expectations"])} rules.</p>
{f'<ul class="failures">{failures}</ul>' if failures else ""}{notes}
<div class="scroll"><table><thead><tr><th></th><th>Rule</th><th>Observed</th><th>Examples</th></tr></thead>
<tbody>{rows}</tbody></table></div>
<h2>Pages of Great Expectations</h2><ul>{links}</ul>
</main></body></html>
"""


def _row(expectation: Mapping[str, Any]) -> str:
    kind = "good" if expectation["passed"] else "warn" if expectation["severity"] == "warning" else "bad"
    sign = {"good": "✓", "warn": "!", "bad": "✗"}[kind]
    shown = [", ".join(f"{k}={v}" for k, v in example.items()) for example in expectation["examples"][:3]]
    cells = [expectation["description"], expectation["observed"], "\n".join(shown)]
    inner = "".join(f"<td>{html.escape(cell).replace(chr(10), '<br>')}</td>" for cell in cells)
    return f'<tr><td><i class="{kind}">{sign}</i></td>{inner}</tr>'


def _title(page: Path, site_dir: Path) -> str:
    parts = page.relative_to(site_dir).parts
    what = {"validations": "Result", "expectations": "Suite"}.get(parts[0], parts[0])
    name = parts[1].removesuffix(".html")
    return f"{what}: {name}" + (f", {parts[-2]}" if len(parts) > 3 else "")
