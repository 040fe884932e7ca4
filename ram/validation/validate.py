"""Runs rules through Great Expectations (the only module that imports it) and has it write its Data Docs."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ram.validation.rows import RowChecks
from ram.validation.rules import Frame, Rule, RuleResult

_KEY_COLUMNS = ("image_id", "tag_id", "caption_index", "column", "part")


class Validator:
    """Validates frames against rules, each kind of frame once.

    `directory` is a work folder; `write_docs` leaves the site there under `site`.
    """

    def __init__(self, directory: Path, table: str, rules: Sequence[Rule], num_examples: int) -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig

            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            self._context: Any = gx.get_context(mode="file", project_root_dir=directory)
        self._context.enable_analytics(False)
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas(table)
        self._directory = directory
        self._site_dir = directory / "site"
        self._num_examples = num_examples
        self._rules = list(rules)
        self.results = {rule.name: RuleResult(rule=rule) for rule in rules}
        assert len(self.results) == len(self._rules), "two rules have one name"
        self._definitions: dict[Frame, Any] = {}

    def check(self, kind: Frame, frame: pd.DataFrame) -> None:
        """Evaluate the rules on this kind of frame; an empty one passes them all."""
        rules = {rule.name: rule for rule in self._rules if rule.frame == kind}
        if not rules or frame.empty:
            return
        for found in self._run(kind, list(rules.values()), frame):
            self._add(self.results[found.expectation_config.meta["rule"]], found, frame, kind)

    def check_rows(self, checks: RowChecks) -> None:
        """Evaluate the rules on the rows that `checks` picked; the numbers of all rows are those it counted.

        Great Expectations must find a broken row for exactly the rules that `checks` found broken.
        """
        frame = checks.witnesses()
        if frame.empty:
            return
        rules = [rule for rule in self._rules if rule.frame == "rows"]
        for found in self._run("rows", rules, frame):
            result = self.results[found.expectation_config.meta["rule"]]
            self._add(result, found, frame, "rows")
            if result.error is not None:
                continue
            name = result.rule.name
            num_unexpected = checks.num_unexpected[name]
            assert bool(num_unexpected) != found.success, (
                f"{name}: {num_unexpected} rows broken, but GX: {found.success}"
            )
            result.num_checked, result.num_unexpected = checks.num_checked[name], num_unexpected
            result.observed = f"{num_unexpected:,} unexpected of {result.num_checked:,}"
            result.value = float(num_unexpected)
        for path in sorted(self._directory.rglob("uncommitted/validations/rows/**/*.json")):
            _with_counts(path, checks)

    def _run(self, kind: Frame, rules: Sequence[Rule], frame: pd.DataFrame) -> Any:
        keys = [name for name in _KEY_COLUMNS if name in frame.columns]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = self._definition(kind, rules).run(
                batch_parameters={"dataframe": frame},
                result_format={
                    "result_format": "SUMMARY",
                    "unexpected_index_column_names": keys,
                    "partial_unexpected_count": self._num_examples,
                },
            )
        return outcome.results

    def write_docs(self) -> Path:
        """The folder of the Data Docs of everything checked so far, as Great Expectations writes them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in list(self._context.variables.data_docs_sites or {}):
                self._context.delete_data_docs_site(name)
            store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(self._site_dir.absolute())}
            site = {"class_name": "SiteBuilder", "store_backend": store}
            self._context.add_data_docs_site(
                "static", {**site, "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
            )
            self._context.build_data_docs()
        return self._site_dir

    def _definition(self, kind: Frame, rules: Sequence[Rule]) -> Any:
        if kind in self._definitions:
            return self._definitions[kind]
        import great_expectations as gx

        batch = self._source.add_dataframe_asset(kind).add_batch_definition_whole_dataframe("all")
        suite = self._context.suites.add(gx.ExpectationSuite(name=kind))
        for rule in rules:
            suite.add_expectation(_expectation(rule))
        definition = gx.ValidationDefinition(name=kind, data=batch, suite=suite)
        self._definitions[kind] = self._context.validation_definitions.add(definition)
        return self._definitions[kind]

    def _add(self, result: RuleResult, found: Any, frame: pd.DataFrame, kind: Frame) -> None:
        exception = found.exception_info or {}
        if exception.get("raised_exception") or any(
            isinstance(e, dict) and e.get("raised_exception") for e in exception.values()
        ):
            result.error = str(exception)[:500]
            return
        outcome = found.result
        result.num_checked += int(outcome.get("element_count", len(frame)))
        result.num_unexpected += int(outcome.get("unexpected_count", 0))
        room = self._num_examples - len(result.examples)
        examples = outcome.get("partial_unexpected_index_list") or []
        result.examples += [_plain(e) for e in examples[:room] if isinstance(e, dict)]
        if kind == "totals":
            total = frame[result.rule.arguments["column"]].iloc[0]
            result.observed, result.value = _number(total), float(total)
        else:
            result.observed = f"{result.num_unexpected:,} unexpected of {result.num_checked:,}"
            result.value = float(result.num_unexpected)
        assert found.success == (int(outcome.get("unexpected_count", 0)) == 0), result.rule.name


def _with_counts(path: Path, checks: RowChecks) -> None:
    """Put the counts of the whole table into a result that Great Expectations stored of some of its rows."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for found in document["results"]:
        name, result = found["expectation_config"]["meta"]["rule"], found["result"]
        if not result:
            continue
        num_checked, num_unexpected = checks.num_checked[name], checks.num_unexpected[name]
        share = 100 * num_unexpected / max(num_checked, 1)
        result |= {"element_count": num_checked, "unexpected_count": num_unexpected, "unexpected_percent": share}
        # Of these the result has counts in the rows shown alone.
        for count in ("unexpected_percent_total", "unexpected_percent_nonmissing", "missing_count", "missing_percent"):
            result.pop(count, None)
        result.pop("partial_unexpected_counts", None)
    path.write_text(json.dumps(document), encoding="utf-8")


def _expectation(rule: Rule) -> Any:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    condition = {} if rule.where is None else {"row_condition": Column(rule.where[0]) == rule.where[1]}
    return getattr(gxe, rule.expectation)(
        **rule.arguments, **condition, description=rule.description, severity=rule.severity, meta={"rule": rule.name}
    )


def _plain(example: dict[str, Any]) -> dict[str, Any]:
    """An example that JSON can hold: numpy scalars unpacked, NaN as text."""
    unpacked = {str(k): v.item() if hasattr(v, "item") else v for k, v in example.items()}
    return {k: _readable(v) if isinstance(v, float) else v for k, v in unpacked.items()}


def _readable(value: float) -> float | str:
    # Single precision has no more digits than these.
    return float(f"{value:.7g}") if np.isfinite(value) else str(value)


def _number(value: Any) -> str:
    return f"{int(value):,}" if isinstance(value, int | np.integer) else f"{float(value):.4g}"
