"""Register, promote, roll back: after DVC, each keyed by the content of the model, so that twice changes nothing.

The aliases: `challenger` is the version registered last, `champion` the one in use, `previous` the champion before.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ram.catalog import artifact
from ram.packaging import package, stage_checkpoint
from ram.params import from_mapping, load_yaml
from ram.promotion import Candidate, Finding, PromotionParams, evaluation_sets, judge
from ram.provenance import read_provenance
from ram.storage import content_hash, read_json, write_json
from ram.tracking import MODEL_NAME, connect, flat_metrics, import_mlflow, track_run

if TYPE_CHECKING:
    from ram.tracking import MlflowClient, ModelVersion

MODEL = "finetuned"
DECISIONS_DIR = Path(".state", "decisions")


def register(workspace: Path = Path()) -> str:
    """Register the fine-tuned model with its thresholds and make it `challenger`; its version.

    The same content is the same version: only what was measured on it is written anew. Raises `ValueError` where the
    pipeline has not made the model, its thresholds or its evaluation.
    """
    workspace = workspace.resolve()
    tags = _evidence(workspace)
    client, experiment_id = connect(workspace)
    with stage_checkpoint(workspace, artifact(f"{MODEL}_model"), artifact("thresholds")) as checkpoint:
        content = content_hash(checkpoint)
        version = next((v for v in _versions(client) if v.tags.get("content") == content), None)
        if version is None:
            run_id = track_run(workspace)
            source, model_id = package(client, experiment_id, run_id, checkpoint)
            version = client.create_model_version(MODEL_NAME, source, run_id, {"content": content}, model_id=model_id)
    for name, value in tags.items():
        client.set_model_version_tag(MODEL_NAME, version.version, name, value)
    client.set_registered_model_alias(MODEL_NAME, "challenger", version.version)
    return str(version.version)


def _evidence(workspace: Path) -> dict[str, str]:
    """The tags of a version: where it comes from and what was measured."""
    label_system = read_json(workspace / artifact("label_system").path)
    metrics = read_json(workspace / artifact("evaluation").path).get(MODEL)
    if not metrics:
        raise ValueError(f"{artifact('evaluation').path} has no metrics of the {MODEL} model; run the stage evaluate")
    return {
        **read_provenance(workspace).tags(),
        "label_system_version": str(label_system.get("version", "none")),
        "evaluation_sets": json.dumps(evaluation_sets(workspace), sort_keys=True),
        "metrics": json.dumps(_plain_metrics(metrics), sort_keys=True),
    }


def _plain_metrics(evaluation: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """{"benchmark/metric": value} of the numbers that stand for a whole benchmark, not of their details."""
    plain = {
        benchmark: {name: value for name, value in values.items() if not isinstance(value, Mapping)}
        for benchmark, values in evaluation.items()
    }
    return flat_metrics(plain)


def promote(workspace: Path = Path(), override: str | None = None) -> dict[str, Any]:
    """Make the challenger the champion if it keeps every rule of section `promotion`; the decision.

    `outcome` is first, promoted, refused (`failures` says why) or unchanged, for a challenger that is the champion.
    With `override`, a person's reason, it is promoted whatever the rules find; the decision tells both. A decision is
    written to .state/decisions and to the version's tags; the same question again gives the same answer.
    """
    params = _promotion_params(workspace)
    client, _ = connect(workspace)
    challenger, champion = _aliased(client, "challenger"), _aliased(client, "champion")
    if challenger is None:
        raise ValueError("there is no challenger; `ram models register` makes one")
    same = champion is not None and champion.version == challenger.version
    findings = judge(_candidate(challenger), None if champion is None or same else _candidate(champion), params)
    accepted = override is not None or all(finding.passed for finding in findings)
    if same:
        outcome = "unchanged"
    elif not accepted:
        outcome = "refused"
    else:
        outcome = "first" if champion is None else "promoted"
    crowned = outcome in ("first", "promoted")
    before = _number(champion)
    decision = _decision(outcome, _number(challenger), _number(challenger) if crowned else before, before, findings)
    if same:
        return decision
    if crowned:
        _crown(client, challenger, champion)
    for name in ("outcome", "failures"):
        client.set_model_version_tag(MODEL_NAME, challenger.version, f"decision_{name}", json.dumps(decision[name]))
    return _record(workspace, {**decision, "override": override}, _candidate(challenger), params)


def rollback(workspace: Path = Path(), reason: str = "rolled back by hand") -> dict[str, Any]:
    """Make the previous champion the champion again; the decision. The one taken back is not promoted again."""
    client, _ = connect(workspace)
    champion, previous = _aliased(client, "champion"), _aliased(client, "previous")
    if champion is None or previous is None:
        raise ValueError("there is no previous champion to go back to; `ram models list` shows the versions")
    client.set_model_version_tag(MODEL_NAME, champion.version, "rolled_back", reason)
    client.set_registered_model_alias(MODEL_NAME, "champion", previous.version)
    if earlier := previous.tags.get("replaced"):
        client.set_registered_model_alias(MODEL_NAME, "previous", earlier)
    else:
        client.delete_registered_model_alias(MODEL_NAME, "previous")
    finding = Finding(rule="rollback", passed=True, detail=reason)
    decision = _decision("rolled_back", _number(champion), _number(previous), _number(champion), [finding])
    return _record(workspace, decision, _candidate(champion), None)


def list_models(workspace: Path = Path()) -> list[dict[str, Any]]:
    """Every version, the newest first: its aliases, metrics, origin and the last decision on it."""
    client, _ = connect(workspace)
    versions = _versions(client)
    aliases = client.get_registered_model(MODEL_NAME).aliases if versions else {}
    rows = []
    for version in sorted(versions, key=lambda v: int(v.version), reverse=True):
        tags = dict(version.tags)
        mine = sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))
        decided = {name: json.loads(tags.pop(name)) for name in list(tags) if name.startswith("decision_")}
        metrics = json.loads(tags.pop("metrics", "{}"))
        tags.pop("evaluation_sets", None)
        rows.append({"version": str(version.version), "aliases": mine, "metrics": metrics, **decided, **tags})
    return rows


def _versions(client: MlflowClient) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name='{MODEL_NAME}'"))


def _aliased(client: MlflowClient, alias: str) -> ModelVersion | None:
    exceptions = import_mlflow().exceptions
    try:
        return client.get_model_version_by_alias(MODEL_NAME, alias)
    except exceptions.MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _candidate(version: ModelVersion) -> Candidate:
    return Candidate(
        version=str(version.version),
        metrics=json.loads(version.tags.get("metrics", "{}")),
        evaluation_sets=json.loads(version.tags.get("evaluation_sets", "{}")),
        rolled_back=version.tags.get("rolled_back"),
    )


def _number(version: ModelVersion | None) -> str | None:
    return None if version is None else str(version.version)


def _crown(client: MlflowClient, challenger: ModelVersion, champion: ModelVersion | None) -> None:
    """Move the aliases; `champion` last, so that there is one at every moment."""
    if champion is not None:
        client.set_model_version_tag(MODEL_NAME, challenger.version, "replaced", str(champion.version))
        client.set_registered_model_alias(MODEL_NAME, "previous", champion.version)
    client.set_registered_model_alias(MODEL_NAME, "champion", challenger.version)


def _promotion_params(workspace: Path) -> PromotionParams:
    sections = load_yaml(workspace / "params.yaml")
    return from_mapping(PromotionParams, sections.get("promotion") or {}, where="promotion")


def _decision(
    outcome: str, version: str | None, champion: str | None, previous: str | None, findings: list[Finding]
) -> dict[str, Any]:
    return {
        "model": MODEL_NAME,
        "outcome": outcome,
        "version": version,
        "champion": champion,
        "previous": previous,
        "rules": [finding.as_dict() for finding in findings],
        "failures": [f"{finding.rule}: {finding.detail}" for finding in findings if not finding.passed],
    }


def _record(
    workspace: Path, decision: dict[str, Any], candidate: Candidate, params: PromotionParams | None
) -> dict[str, Any]:
    """Write a decision that was not taken before; the recorded one, with its time."""
    decision = {**decision, "metrics": dict(candidate.metrics), "params": None if params is None else str(params)}
    key = hashlib.sha256(json.dumps(decision, sort_keys=True).encode()).hexdigest()[:8]
    path = workspace / DECISIONS_DIR / f"v{candidate.version}-{decision['outcome']}-{key}.json"
    if path.is_file():
        return read_json(path)
    decided: Mapping[str, Any] = {**decision, "decided_at": datetime.datetime.now(datetime.UTC).isoformat()}
    write_json(decided, path)
    return {**decided, "path": str(path)}
