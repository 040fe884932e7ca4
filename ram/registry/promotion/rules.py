"""The rules that a challenger must keep, each a finding with its numbers; without the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ram.registry.promotion.paired import Change, Comparison
from ram.registry.promotion.params import PromotionParams

_NUM_SHOWN = 5  # tags named in a finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A version as the rules see it: metrics by "benchmark/metric", the rest by benchmark or table; None: not known."""

    version: str
    metrics: Mapping[str, float]
    evaluation_sets: Mapping[str, str]  # digest of each
    checks: Mapping[str, bool] | None = None  # whether each checked table passed
    calibration_error: Mapping[str, float] = field(default_factory=dict)
    latency_ms: float | None = None
    size_mib: float | None = None
    shadow: Mapping[str, Any] | None = None  # {"champion": version, "agreement", "num_images"}
    rolled_back: str | None = None  # why it was taken back, if it was


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One rule: whether the challenger keeps it, and the numbers."""

    rule: str
    passed: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    challenger: Candidate,
    champion: Candidate | None,
    params: PromotionParams,
    comparison: Comparison | str | None = None,
) -> list[Finding]:
    """What every rule finds; the challenger is promoted where all pass.

    `comparison` is that of the two on the deciding benchmark, or why there is none.
    """
    findings = [_reaches_minimum(challenger, params), _was_not_rolled_back(challenger)]
    findings += _budgets(challenger, params)
    if params.require_checks:
        findings.append(_passed_its_checks(challenger))
    if champion is None:
        return findings
    compared = {params.benchmark, *(name.partition("/")[0] for name in params.max_drop)}
    findings += [_same_evaluation_set(challenger, champion, name) for name in sorted(compared)]
    findings.append(_beats(challenger, champion, params))
    if params.compares_images:
        findings += _compared(comparison, params)
    findings += [_does_not_fall(challenger, champion, name, drop) for name, drop in params.max_drop.items()]
    if params.min_shadow_agreement is not None:
        findings.append(_agrees_in_the_shadow(challenger, champion, params.min_shadow_agreement))
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


def _budgets(challenger: Candidate, params: PromotionParams) -> Iterator[Finding]:
    measured = {
        "calibration error": (challenger.calibration_error.get(params.benchmark), params.max_calibration_error, ""),
        "latency": (challenger.latency_ms, params.max_latency_ms, " ms per image"),
        "size": (challenger.size_mib, params.max_size_mib, " MiB"),
    }
    for rule, (value, limit, unit) in measured.items():
        if limit is not None:
            detail = f"{'not measured' if value is None else f'{value:.4g}'} against at most {limit:g}{unit}"
            yield Finding(rule=rule, passed=value is not None and value <= limit, detail=detail)


def _passed_its_checks(challenger: Candidate) -> Finding:
    checks = challenger.checks or {}
    failed = [table for table, passed in checks.items() if not passed]
    detail = f"failed: {', '.join(failed)}" if failed else f"{', '.join(checks)} passed" if checks else "none is known"
    return Finding(rule="data checks", passed=bool(checks) and not failed, detail=detail)


def _same_evaluation_set(challenger: Candidate, champion: Candidate, benchmark: str) -> Finding:
    mine, theirs = challenger.evaluation_sets.get(benchmark), champion.evaluation_sets.get(benchmark)
    passed = mine is not None and mine == theirs
    remedy = f"`ram models evaluate {champion.version}` scores the champion on it"
    detail = f"{mine}" if passed else f"{mine} against {theirs} of champion version {champion.version}: {remedy}"
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


def _compared(comparison: Comparison | str | None, params: PromotionParams) -> Iterator[Finding]:
    """The rules that look at both models image by image; all fail where that was not possible."""
    told = comparison if isinstance(comparison, Comparison) else None
    why = comparison if isinstance(comparison, str) else "the two were not compared"
    if params.confidence is not None:
        rule = f"better with confidence {params.confidence:g}"
        yield Finding(rule=rule, passed=False, detail=why) if told is None else _is_sure(rule, told, params)
    for rule, margin, of in (
        ("no kind worse", params.max_kind_drop, "kinds"),
        ("no frequent tag worse", params.max_tag_drop, "tags"),
    ):
        if margin is None:
            continue
        if told is None:
            yield Finding(rule=rule, passed=False, detail=why)
        else:
            yield _none_fell(rule, getattr(told, of), margin, of)


def _is_sure(rule: str, told: Comparison, params: PromotionParams) -> Finding:
    detail = (
        f"mAP {told.gain:+.4f}, above {told.low:+.4f} with that confidence, {params.min_gain:g} is wanted; better in "
        f"{told.share_better:.1%} of {params.num_bootstrap} resamples of {told.num_images} images"
    )
    return Finding(rule=rule, passed=told.low > 0 and told.low >= params.min_gain, detail=detail)


def _none_fell(rule: str, changes: Mapping[str, Change], margin: float, of: str) -> Finding:
    fallen = {name: change for name, change in changes.items() if change.fell(margin)}
    shown = sorted(fallen.items(), key=lambda item: item[1].change)[:_NUM_SHOWN]
    named = ", ".join(f"{name} {change.before:.3f} -> {change.after:.3f}" for name, change in shown)
    more = f" and {len(fallen) - len(shown)} more" if len(fallen) > len(shown) else ""
    if fallen:
        detail = f"{named}{more}; a fall of at most {margin:g} is allowed"
    elif changes:
        name, lowest = min(changes.items(), key=lambda item: item[1].change)
        detail = f"{len(changes)} {of}; the least change is {name} {lowest.change:+.3f}, {-margin:g} is allowed"
    else:
        detail = f"no {of} with enough labels"
    return Finding(rule=rule, passed=not fallen, detail=detail)


def _does_not_fall(challenger: Candidate, champion: Candidate, name: str, drop: float) -> Finding:
    mine, theirs = challenger.metrics.get(name), champion.metrics.get(name)
    passed = mine is not None and theirs is not None and theirs - mine <= drop
    detail = f"{_number(mine)} against {_number(theirs)}, a fall of at most {drop:g} is allowed"
    return Finding(rule=f"{name} does not fall", passed=passed, detail=detail)


def _agrees_in_the_shadow(challenger: Candidate, champion: Candidate, least: float) -> Finding:
    shadow = challenger.shadow
    if shadow is None or str(shadow["champion"]) != champion.version:
        detail = f"no shadow run against champion version {champion.version}: `ram models shadow FOLDER` makes one"
        return Finding(rule="shadow agreement", passed=False, detail=detail)
    agreement = float(shadow["agreement"])
    detail = f"{agreement:.3f} over {shadow['num_images']} images against at least {least:g}"
    return Finding(rule="shadow agreement", passed=agreement >= least, detail=detail)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
