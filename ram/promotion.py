"""May the challenger replace the champion? The rules, without the registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ram.catalog import artifact
from ram.params import load_yaml
from ram.storage import Table, read_json


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionParams:
    """The section `promotion` of params.yaml."""

    benchmark: str  # whose metric decides
    min_value: float  # the least that a champion must reach
    metric: str = "mAP"
    min_gain: float = 0.0  # over the champion; 0: any gain
    max_drop: dict[str, float] = field(default_factory=dict)  # {"benchmark/metric": how far it may fall}

    def __post_init__(self) -> None:
        if self.min_gain < 0:
            raise ValueError(
                f"min_gain must be at least 0, got {self.min_gain}: a champion is not replaced by a worse one"
            )
        for name, drop in self.max_drop.items():
            if "/" not in name or drop < 0:
                raise ValueError(f"max_drop maps benchmark/metric to a number of at least 0, got {name}: {drop}")

    @property
    def deciding(self) -> str:
        return f"{self.benchmark}/{self.metric}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A version as the rules see it: metrics by "benchmark/metric", digest of each evaluation set by benchmark."""

    version: str
    metrics: Mapping[str, float]
    evaluation_sets: Mapping[str, str]
    rolled_back: str | None = None  # why it was taken back, if it was


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One rule: whether the challenger keeps it, and the numbers."""

    rule: str
    passed: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(challenger: Candidate, champion: Candidate | None, params: PromotionParams) -> list[Finding]:
    """What every rule finds; the challenger is promoted where all pass."""
    findings = [_reaches_minimum(challenger, params), _was_not_rolled_back(challenger)]
    if champion is not None:
        compared = {params.benchmark, *(name.partition("/")[0] for name in params.max_drop)}
        findings += [_same_evaluation_set(challenger, champion, name) for name in sorted(compared)]
        findings.append(_beats(challenger, champion, params))
        findings += [_does_not_fall(challenger, champion, name, drop) for name, drop in params.max_drop.items()]
    return findings


def _reaches_minimum(challenger: Candidate, params: PromotionParams) -> Finding:
    name, value = params.deciding, challenger.metrics.get(params.deciding)
    detail = f"{_number(value)} against {params.min_value:g}"
    return Finding(rule=f"minimum {name}", passed=value is not None and value >= params.min_value, detail=detail)


def _was_not_rolled_back(challenger: Candidate) -> Finding:
    reason = challenger.rolled_back
    return Finding(
        rule="not rolled back before",
        passed=reason is None,
        detail="never" if reason is None else f"it was taken back: {reason}",
    )


def _same_evaluation_set(challenger: Candidate, champion: Candidate, benchmark: str) -> Finding:
    mine, theirs = challenger.evaluation_sets.get(benchmark), champion.evaluation_sets.get(benchmark)
    passed = mine is not None and mine == theirs
    detail = f"{mine}" if passed else f"{mine} against {theirs}: score champion version {champion.version} on it first"
    return Finding(rule=f"same evaluation on {benchmark}", passed=passed, detail=detail)


def _beats(challenger: Candidate, champion: Candidate, params: PromotionParams) -> Finding:
    mine, theirs = challenger.metrics.get(params.deciding), champion.metrics.get(params.deciding)
    gain = None if mine is None or theirs is None else mine - theirs
    return Finding(
        rule=f"better {params.deciding}",
        passed=gain is not None and gain > 0 and gain >= params.min_gain,
        detail=f"{_number(mine)} against {_number(theirs)} of champion version {champion.version}, "
        f"a gain of at least {params.min_gain:g} is wanted",
    )


def _does_not_fall(challenger: Candidate, champion: Candidate, name: str, drop: float) -> Finding:
    mine, theirs = challenger.metrics.get(name), champion.metrics.get(name)
    passed = mine is not None and theirs is not None and theirs - mine <= drop
    detail = f"{_number(mine)} against {_number(theirs)}, a fall of at most {drop:g} is allowed"
    return Finding(rule=f"{name} does not fall", passed=passed, detail=detail)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def evaluation_sets(workspace: Path) -> dict[str, str]:
    """{benchmark: digest of its test pictures, labels, labelled names and of how they are scored}.

    Metrics of equal digests can be compared.
    """
    knobs = load_yaml(workspace / "params.yaml").get("evaluate")
    benchmarks = read_json(workspace / artifact("benchmarks").path)
    images = _table(workspace, "images").to_pandas(["image_id", "source", "sha256"], pc.field("split") == "test")
    labels = _table(workspace, "labels")
    found = {}
    for name, benchmark in benchmarks.items():
        mine = images[images["source"].isin(benchmark["sources"])].sort_values("image_id")
        of_mine = (pc.field("benchmark") == name) & pc.field("image_id").isin(mine["image_id"].tolist())
        rows = labels.to_pandas(["image_id", "name"], of_mine)
        content = {
            "images": mine[["image_id", "sha256"]].values.tolist(),
            "labels": sorted(map(list, set(rows.itertuples(index=False, name=None)))),
            "names": sorted(benchmark["names"]),
            "knobs": knobs,
        }
        found[name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return found


def _table(workspace: Path, name: str) -> Table:
    entry = artifact(name)
    assert entry.schema is not None
    return Table(workspace / entry.path, entry.schema)
