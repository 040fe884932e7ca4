"""Registered versions beside each other, and one scored anew on the images that the workspace has now."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ram.io.tables import read_json, write_table
from ram.labels import LabelSystem
from ram.labels.diff import diff as diff_label_systems
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml, stage_params
from ram.registry.promotion.evidence import evaluation_sets, measured
from ram.registry.promotion.transaction import aliased
from ram.registry.publish import facts_of, plain_metrics, promotion_params, version_called, write_evidence
from ram.tracking.server import connect, model_dir

ORIGIN = ("git_revision", "git_dirty", "dvc_lock", "data_hash", "label_system_version", "kept_stages", "content")


def diff(before: str, after: str, workspace: Path = Path()) -> dict[str, Any]:
    """What changed from one version to another: {"versions", "origin", "metrics", "thresholds", "label_system"}.

    Metrics and origin are {name: [before, after]} of what differs, with null where one has none; `comparable` says of
    each benchmark whether both were scored on the same images.
    """
    versions = [version_called(workspace, name) for name in (before, after)]
    facts = [facts_of(version) for version in versions]
    folders = [model_dir(str(version.version), workspace) for version in versions]
    labels = [LabelSystem.from_json(read_json(folder / "label_system.json")) for folder in folders]
    sets = [f.get("evaluation_sets", {}) for f in facts]
    return {
        "versions": [str(version.version) for version in versions],
        "comparable": {name: sets[0].get(name) == sets[1].get(name) for name in sorted({*sets[0], *sets[1]})},
        "origin": _changes(*({name: f.get(name) for name in ORIGIN} for f in facts)),
        "metrics": _changes(*(f.get("metrics", {}) for f in facts)),
        "measured": _changes(*({name: f.get(name) for name in ("latency_ms", "size_mib")} for f in facts)),
        "thresholds": _changes(*(_defaults(folder) for folder in folders)),
        "label_system": diff_label_systems(*labels).to_json(),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    names = [*before, *(name for name in after if name not in before)]
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def _defaults(folder: Path) -> dict[str, Any]:
    path = folder / "thresholds.json"
    thresholds = read_json(path) if path.is_file() else {}
    return {name: thresholds.get(name) for name in ("default", "open_set", "temperature", "bias")}


def evaluate_version(name: str, workspace: Path = Path()) -> dict[str, float]:
    """Score a registered version on the test images that the workspace has now; its metrics, which are kept with it.

    It is what makes a champion comparable again after the test images, their labels or the section `evaluate` changed.
    """
    from ram.pipeline.artifacts import read_artifact
    from ram.stages import stage_call
    from ram.stages.evaluate import Inputs, Params, evaluate_models

    client, _ = connect(workspace)
    version = version_called(workspace, name)
    checkpoint = model_dir(str(version.version), workspace)
    entries = stage_call("evaluate").inputs()
    replaced = {"finetuned_model": checkpoint, "thresholds": read_json(checkpoint / "thresholds.json")}
    inputs = Inputs(**{f: replaced.get(f) or read_artifact(entry, workspace) for f, entry in entries.items()})
    params = stage_params(load_yaml(workspace / "params.yaml"), "evaluate", Params)
    outputs = evaluate_models(inputs, params, ("finetuned",))
    metrics = plain_metrics(outputs.evaluation["finetuned"])
    schema = artifact("test_scores").schema
    assert schema is not None
    with tempfile.TemporaryDirectory(prefix="ram-evidence-") as folder:
        write_table(outputs.test_scores, Path(folder, "scores"), schema)
        facts = measured(workspace, checkpoint, Path(folder, "scores"), Path(folder, "evidence"))
        write_evidence(client, version, {**facts, "metrics": metrics}, Path(folder, "evidence"))
    return metrics


def make_comparable(workspace: Path = Path()) -> str | None:
    """Score the champion anew where the challenger was scored on other images; its version if that was needed."""
    client, _ = connect(workspace)
    champion, challenger = (aliased(client, alias) for alias in ("champion", "challenger"))
    if champion is None or challenger is None or champion.version == challenger.version:
        return None
    sets = [facts_of(version).get("evaluation_sets", {}) for version in (champion, challenger)]
    benchmark = promotion_params(workspace).benchmark
    if sets[0].get(benchmark) == sets[1].get(benchmark) or sets[1] != evaluation_sets(workspace):
        return None
    evaluate_version("champion", workspace)
    return str(champion.version)
