"""The snapshots of the runs, arranged for the page: rules with their trend, drift, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ram.reports.data.svg_charts import histogram, sparkline
from ram.validation.drift import jensen_shannon, movers

Snapshot = Mapping[str, Any]

UNITS = {"longer side": " px", "kilobytes": " KiB", "words": " words", "aspect": " width / height"}
NUM_MOVERS = 8


def check_views(runs: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """One view a table of the last run: its rules, those that fail first, each with its values over the runs."""
    views = []
    for table, check in runs[-1]["checks"].items():
        rules = [_rule(table, name, rule, runs) for name, rule in check["rules"].items()]
        rules.sort(key=lambda rule: (rule["passed"], rule["always"]))
        views.append(
            {
                "table": table,
                "passed": check["passed"],
                "num_rows": check["num_rows"],
                "rows_over_runs": sparkline(*_series(runs, table, None)),
                "shown": [rule for rule in rules if not rule["always"] or rule["limits"]],
                "folded": [rule for rule in rules if rule["always"] and not rule["limits"]],
            }
        )
    return views


def _rule(table: str, name: str, rule: Mapping[str, Any], runs: Sequence[Snapshot]) -> dict[str, Any]:
    values, passed = _series(runs, table, name)
    return {
        **rule,
        "name": name,
        "limits": rule["limits"] or {},
        "always": all(passed),  # it held in every run
        "num_failed": passed.count(False),
        "trend": sparkline(values, passed, rule["limits"]),
    }


def _series(runs: Sequence[Snapshot], table: str, rule: str | None) -> tuple[list[float | None], list[bool]]:
    """The value of a rule, or the number of rows, in each run that checked the table; whether it passed."""
    values: list[float | None] = []
    passed = []
    for run in runs:
        check = run["checks"].get(table)
        found = check if check is None or rule is None else check["rules"].get(rule)
        if found is not None:
            values.append(found["num_rows"] if rule is None else found["value"])
            passed.append(bool(found["passed"]))
    return values, passed


def distributions(run: Snapshot) -> dict[str, Mapping[str, int]]:
    """What drift is measured of: name -> counts."""
    found: dict[str, Mapping[str, int]] = {f"{step} tags": counts for step, counts in run["tags"].items()}
    found |= {f"images: {name}": counts for name, counts in run["images"]["histograms"].items()}
    found |= {f"captions: {name}": counts for name, counts in run["captions"]["histograms"].items()}
    found["captions: language"] = run["captions"]["languages"]
    return {name: counts for name, counts in found.items() if counts}


def drift_view(runs: Sequence[Snapshot]) -> dict[str, Any]:
    """{"rows": drift from run to run by distribution, "movers", "histograms"}; of a single run, only the last."""
    by_run = [distributions(run) for run in runs]
    now = by_run[-1]
    before = by_run[-2] if len(by_run) > 1 else {}
    rows = []
    for name in now:
        values = [jensen_shannon(b[name], a[name]) for a, b in pairwise(by_run) if name in a and name in b]
        if values:
            rows.append({"name": name, "value": values[-1], "trend": sparkline(values, [True] * len(values))})
    return {
        "rows": sorted(rows, key=lambda row: -row["value"]),
        "movers": {
            name: _movers(now[name], before[name]) for name in now if name.endswith(" tags") and before.get(name)
        },
        "histograms": [
            {"title": name, "svg": histogram(counts, before.get(name), UNITS.get(name.split(": ")[1], ""))}
            for name, counts in now.items()
            if ": " in name
        ],
        "has_before": bool(before),
    }


def _movers(now: Mapping[str, int], before: Mapping[str, int]) -> list[dict[str, Any]]:
    found = [row for row in movers(now, before, NUM_MOVERS) if row["share"] != row["reference_share"]]
    widest = max([max(row["share"], row["reference_share"]) for row in found], default=0) or 1
    return [
        {**row, "width": 100 * row["share"] / widest, "width_before": 100 * row["reference_share"] / widest}
        for row in found
    ]


def coverage_view(run: Snapshot, report: Mapping[str, Any], before: Snapshot | None) -> list[dict[str, Any]]:
    """One row a vocabulary: shares of its names that are tags by name or by synonym, and names that none has."""
    rows = []
    for name, facts in run["coverage"].items():
        total = facts["num_names"] or 1
        exact = facts.get("num_exact", facts["num_found"])
        then = (before or {}).get("coverage", {}).get(name)
        rows.append(
            {
                "name": name,
                **facts,
                "exact": 100 * exact / total,
                "synonym": 100 * (facts["num_found"] - exact) / total,
                "missing": report.get("coverage", {}).get(name, {}).get("missing", [])[:30],
                "change": None if then is None else facts["num_found"] - then["num_found"],
            }
        )
    return rows


def run_rows(runs: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """One row a run, the latest first."""
    rows = []
    for run in reversed(runs):
        checks = run["checks"].values()
        rows.append(
            {
                "time": run["time"].replace("T", " ").removesuffix("+00:00"),
                "revision": run.get("git_revision", "")[:8],
                "dirty": run.get("git_dirty") == "true",
                "num_passed": sum(check["passed"] for check in checks),
                "num_checks": len(checks),
                "num_images": run["images"]["num"],
                "num_captions": run["captions"]["num"],
                "num_tags": sum(run["tags"]["cleaned"].values()),
                "num_refused": sum(run["quarantine"].values()),
            }
        )
    return rows
