"""A decision on a version: its record in `.state/decisions`, and the page of the last one that the report shows."""

from __future__ import annotations

import datetime
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ram.io.tables import read_json, write_json, write_text
from ram.registry.promotion.params import PromotionParams
from ram.registry.promotion.rules import Candidate, Finding

DECISIONS_DIR = Path(".state", "decisions")
PAGE_PATH = Path("data", "promotion", "index.html")  # the report shows it where it stands

_STYLE = """
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif } body { margin: 0 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: 4px 12px 4px 0; vertical-align: top }
tr + tr td { border-top: 1px solid #8884 } .no { color: #c33; font-weight: 600 } .yes { color: #2a7 }
"""


def make_decision(
    outcome: str, version: str | None, champion: str | None, previous: str | None, findings: Sequence[Finding]
) -> dict[str, Any]:
    """The decision as JSON, without its time."""
    return {
        "outcome": outcome,
        "version": version,
        "champion": champion,
        "previous": previous,
        "rules": [finding.as_dict() for finding in findings],
        "failures": [f"{finding.rule}: {finding.detail}" for finding in findings if not finding.passed],
    }


def complete(decision: Mapping[str, Any], candidate: Candidate, params: PromotionParams | None) -> dict[str, Any]:
    """The decision with what it was taken on: the metrics of the version and the parameters."""
    return {**decision, "metrics": dict(candidate.metrics), "params": None if params is None else str(params)}


def record(workspace: Path, decision: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Write a complete decision that was not taken before; the recorded one with its time, and whether it is new."""
    key = hashlib.sha256(json.dumps(decision, sort_keys=True).encode()).hexdigest()[:8]
    path = workspace / DECISIONS_DIR / f"v{decision['version']}-{decision['outcome']}-{key}.json"
    if path.is_file():
        return {**read_json(path), "path": str(path)}, False
    decided = {**decision, "decided_at": datetime.datetime.now(datetime.UTC).isoformat()}
    write_text(as_page(decided), workspace / PAGE_PATH)
    write_json(decided, path)
    return {**decided, "path": str(path)}, True


def as_sentence(decision: Mapping[str, Any]) -> str:
    """One line for a log or a chat."""
    said = {
        "first": "is the first champion",
        "promoted": f"is the champion now, in place of version {decision['previous']}",
        "refused": f"was refused; the champion stays {_version(decision['champion'])}",
        "unchanged": "is the champion already",
        "rolled_back": f"was taken back; the champion is {_version(decision['champion'])} again",
    }[decision["outcome"]]
    why = f" ({'; '.join(decision['failures'])})" if decision["failures"] else ""
    return f"version {decision['version']} {said}{why}"


def _version(number: str | None) -> str:
    return "none" if number is None else f"version {number}"


def as_page(decision: Mapping[str, Any]) -> str:
    """A small page that loads nothing: what was decided, and every rule with what it found."""
    rows = "".join(
        f"<tr><td>{_escaped(r['rule'])}</td><td class={'yes' if r['passed'] else 'no'}>{'yes' if r['passed'] else 'no'}"
        f"</td><td>{_escaped(r['detail'])}</td></tr>"
        for r in decision["rules"]
    )
    override = decision.get("override")
    over = f"<p>Promoted by a person, whatever the rules found: {_escaped(override)}</p>" if override else ""
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Promotion</title><style>{_STYLE}</style>'
        f"<p><b>V{_escaped(as_sentence({**decision, 'failures': []}))[1:]}.</b> {_escaped(decision['decided_at'][:16])} UTC</p>"
        f"{over}<table><thead><tr><th>Rule</th><th>Kept</th><th>Found</th></tr></thead><tbody>{rows}</tbody></table></html>\n"
    )


def _escaped(text: object) -> str:
    return html.escape(str(text))
