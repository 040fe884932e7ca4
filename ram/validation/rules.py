"""A rule on a table, in words and as an expectation; nothing here imports Great Expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning"]
# What a rule looks at: the columns of the table (a row a column), its rows, or one row of totals.
Frame = Literal["columns", "rows", "totals"]

_LIMITS = ("min_value", "max_value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """`expectation` names a class of Great Expectations, `arguments` are its own; `where` limits it to some rows."""

    name: str
    description: str  # the rule as a sentence
    frame: Frame
    expectation: str
    arguments: Mapping[str, Any]
    where: tuple[str, Any] | None = None  # (column, value)
    severity: Severity = "critical"


@dataclass(kw_only=True, slots=True)
class RuleResult:
    """What a rule found; over several batches of rows the numbers add up."""

    rule: Rule
    num_checked: int = 0
    num_unexpected: int = 0
    observed: str = ""
    value: float | None = None  # the total, or the number of broken rows or columns: what a trend is drawn of
    examples: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None  # the rule could not be evaluated

    @property
    def passed(self) -> bool:
        return self.error is None and self.num_unexpected == 0

    def sentence(self) -> str:
        """Why the rule failed, for people."""
        if self.error is not None:
            return f"{self.rule.description}: could not be checked ({self.error})"
        if self._is_total:
            return f"{self.rule.description}: it is {self.observed}"
        first = ", ".join(f"{key}={value}" for key, value in self.examples[0].items()) if self.examples else ""
        example = f", for example {first}" if first else ""
        return f"{self.rule.description}: {self.num_unexpected:,} of {self.num_checked:,} {self._unit} do not{example}"

    @property
    def _is_total(self) -> bool:
        return self.rule.frame == "totals"

    @property
    def _unit(self) -> str:
        return "columns" if self.rule.frame == "columns" else "rows"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.rule.name,
            "description": self.rule.description,
            "passed": self.passed,
            "severity": self.rule.severity,
            "observed": self.observed,
            "value": self.value,
            "limits": {k: self.rule.arguments[k] for k in _LIMITS if k in self.rule.arguments}
            if self._is_total
            else {},
            "num_unexpected": self.num_unexpected,
            "examples": self.examples,
        }
