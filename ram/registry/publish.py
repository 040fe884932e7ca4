"""Register, promote, roll back: after DVC, each keyed by the content of the model, so that twice changes nothing.

The aliases: `challenger` is the version registered last, `champion` the one in use, `previous` the champion before.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ram.io.disk_errors import disk_explained
from ram.io.locks import exclusive
from ram.io.tables import content_hash, read_json
from ram.pipeline.catalog import artifact
from ram.pipeline.params import from_mapping, load_yaml
from ram.registry.packaging import package, stage_checkpoint
from ram.registry.promotion.decision import complete, make_decision
from ram.registry.promotion.evidence import collect, measure_latency_ms
from ram.registry.promotion.paired import Comparison, ImageScores, compare
from ram.registry.promotion.params import PromotionParams
from ram.registry.promotion.rules import Candidate, Finding, judge
from ram.registry.promotion.transaction import Plan, aliased, carry_out, finish, version_number
from ram.tracking.pipeline_run import flat_metrics, track_run
from ram.tracking.provenance import read_provenance, stages_of_other_inputs
from ram.tracking.server import MODEL_NAME, STATE_DIR, WORKSPACE_TAG, connect, fetch, find_version, workspace_name

if TYPE_CHECKING:
    from ram.tracking.server import MlflowClient, ModelVersion

MODEL = "finetuned"
MEASURING_STAGES = ("calibrate_thresholds", "evaluate")  # what is registered with a model is of that model
_LOCK = Path(STATE_DIR, "promotion.lock")
# tags that hold JSON; the others are text
_JSON_TAGS = ("metrics", "evaluation_sets", "calibration_error", "data_checks", "shadow", "kept_stages")


def register(workspace: Path = Path()) -> str:
    """Register the fine-tuned model with its thresholds and make it `challenger`; its version.

    The same content is the same version: only what was measured on it is written anew. Raises `ValueError` where the
    pipeline has not made the model, its thresholds or its evaluation, or has made them of another model.
    """
    workspace = workspace.resolve()
    with disk_explained(workspace, "registering the model"):
        return _register(workspace)


def _register(workspace: Path) -> str:
    metrics = _metrics(workspace)
    origin = _origin(workspace)
    client, experiment_id = connect(workspace)
    with (
        exclusive(workspace / STATE_DIR / "register.lock"),
        stage_checkpoint(workspace, artifact(f"{MODEL}_model"), artifact("thresholds")) as checkpoint,
        tempfile.TemporaryDirectory(prefix="ram-evidence-") as folder,
    ):
        content = content_hash(checkpoint)
        facts = collect(workspace, checkpoint, Path(folder, "evidence"))
        version = next((v for v in _versions(client) if v.tags.get("content") == content), None)
        if version is None:
            run_id = track_run(workspace)
            tags = {"content": content, WORKSPACE_TAG: workspace_name(workspace)}
            source, model_id = package(client, experiment_id, run_id, checkpoint, tags)
            version = client.create_model_version(MODEL_NAME, source, run_id, {"content": content}, model_id=model_id)
        if "latency_ms" not in version.tags:  # measured once: the same question shall have the same answer
            facts["latency_ms"] = measure_latency_ms(checkpoint)
        write_evidence(client, version, {**facts, "metrics": metrics, **origin}, Path(folder, "evidence"))
    client.set_registered_model_alias(MODEL_NAME, "challenger", version.version)
    return str(version.version)


def _metrics(workspace: Path) -> dict[str, float]:
    metrics = read_json(workspace / artifact("evaluation").path).get(MODEL)
    if not metrics:
        raise ValueError(f"{artifact('evaluation').path} has no metrics of the {MODEL} model; run the stage evaluate")
    return plain_metrics(metrics)


def _origin(workspace: Path) -> dict[str, Any]:
    """Where a version comes from; `ValueError` where the measurements in the workspace are of another model."""
    others = stages_of_other_inputs(workspace)
    if stale := [stage for stage in others if stage in MEASURING_STAGES]:
        raise ValueError(f"{', '.join(stale)} ran on other inputs than the workspace has now; run the pipeline first")
    label_system = read_json(workspace / artifact("label_system").path)
    provenance = read_provenance(workspace).tags()
    return {**provenance, "label_system_version": str(label_system.get("version", "none")), "kept_stages": others}


def plain_metrics(evaluation: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """{"benchmark/metric": value} of the numbers that stand for a whole benchmark, not of their details."""
    plain = {
        benchmark: {name: value for name, value in values.items() if not isinstance(value, Mapping)}
        for benchmark, values in evaluation.items()
    }
    return flat_metrics(plain)


def write_evidence(client: MlflowClient, version: ModelVersion, facts: Mapping[str, Any], folder: Path) -> None:
    """Put what was measured on a version beside it: small facts as tags, the test scores as files of its run."""
    digest = content_hash(folder)[:16]
    if version.tags.get("evidence") != digest:
        client.log_artifacts(run_of(version), str(folder), _evidence_path(digest))
    tags = {**facts, "evidence": digest}
    # last, since where it is that of now the others count as measured on the test images of now
    tags["evaluation_sets"] = tags.pop("evaluation_sets")
    for name, value in tags.items():
        text = json.dumps(value, sort_keys=True) if name in _JSON_TAGS else str(value)
        client.set_model_version_tag(MODEL_NAME, version.version, name, text)


def run_of(version: ModelVersion) -> str:
    """The MLflow run that a version was registered from."""
    assert version.run_id is not None, version
    return version.run_id


def _evidence_path(digest: str) -> str:
    return f"evidence/{digest}"


def promote(workspace: Path = Path(), override: str | None = None) -> dict[str, Any]:
    """Make the challenger the champion if it keeps every rule of section `promotion`; the decision.

    `outcome` is first, promoted, refused (`failures` says why) or unchanged, for a challenger that is the champion.
    With `override`, a person's reason, it is promoted whatever the rules find; the decision tells both. A decision is
    written to .state/decisions and to the version's tags; the same question again gives the same answer.
    """
    with exclusive(workspace / _LOCK), disk_explained(workspace, "the promotion"):
        client, _ = connect(workspace)
        finished = finish(client, workspace)
        challenger, champion = aliased(client, "challenger"), aliased(client, "champion")
        if challenger is None:
            raise ValueError("there is no challenger; `ram models register` makes one")
        decided = finished is not None and finished["version"] == str(challenger.version)
        if finished and decided and finished["outcome"] != "rolled_back" and override is None:
            return finished
        return _decide(client, workspace, challenger, champion, override)


def _decide(
    client: MlflowClient, workspace: Path, challenger: ModelVersion, champion: ModelVersion | None, override: str | None
) -> dict[str, Any]:
    params = promotion_params(workspace)
    rival = None if champion is None or champion.version == challenger.version else champion
    findings = _judge(client, challenger, rival, params)
    accepted = override is not None or all(finding.passed for finding in findings)
    number, before = str(challenger.version), version_number(champion)
    if champion is not None and rival is None:
        return {"model": MODEL_NAME, **make_decision("unchanged", number, before, before, findings)}
    tags: dict[str, str] = {}
    aliases: dict[str, str | None] = {}
    outcome = "refused"
    if accepted:
        outcome = "first" if before is None else "promoted"
        if before is not None:
            tags["replaced"], aliases["previous"] = before, before
        aliases["champion"] = number  # last, so that there is one at every moment
    decision = make_decision(outcome, number, number if accepted else before, before, findings)
    tags |= {f"decision_{name}": json.dumps(decision[name]) for name in ("outcome", "failures")}
    decided = {"model": MODEL_NAME, **complete({**decision, "override": override}, candidate(challenger), params)}
    return carry_out(client, workspace, Plan(decision=decided, tags=tags, aliases=aliases, champion=before))


def _judge(
    client: MlflowClient, challenger: ModelVersion, champion: ModelVersion | None, params: PromotionParams
) -> list[Finding]:
    if champion is None:
        return judge(candidate(challenger), None, params)
    comparison = compare_versions(client, challenger, champion, params) if params.compares_images else None
    return judge(candidate(challenger), candidate(champion), params, comparison)


def compare_versions(
    client: MlflowClient, challenger: ModelVersion, champion: ModelVersion, params: PromotionParams
) -> Comparison | str:
    """The two on the images of the deciding benchmark, or why they cannot be compared."""
    scores = []
    for version in (challenger, champion):
        digest = version.tags.get("evidence")
        if digest is None:
            return f"version {version.version} has no test scores: `ram models evaluate {version.version}` makes them"
        try:
            with fetch(client, run_of(version), _evidence_path(digest)) as folder:
                scores.append(ImageScores.read(folder, params.benchmark))
        except ValueError as error:
            return f"version {version.version}: {error}"
    try:
        return compare(scores[0], scores[1], params.confidence, params.num_bootstrap, params.min_tag_positives)
    except ValueError as error:
        return str(error)


def rollback(workspace: Path = Path(), reason: str = "rolled back by hand") -> dict[str, Any]:
    """Make the previous champion the champion again; the decision. The one taken back is not promoted again."""
    with exclusive(workspace / _LOCK), disk_explained(workspace, "the rollback"):
        client, _ = connect(workspace)
        finished = finish(client, workspace)
        if finished is not None and finished["outcome"] == "rolled_back":
            return finished
        champion, previous = aliased(client, "champion"), aliased(client, "previous")
        if champion is None or previous is None:
            raise ValueError("there is no previous champion to go back to; `ram models list` shows the versions")
        number, back = str(champion.version), str(previous.version)
        finding = Finding(rule="rollback", passed=True, detail=reason)
        decision = make_decision("rolled_back", number, back, number, [finding])
        decided = {"model": MODEL_NAME, **complete(decision, candidate(champion), None)}
        aliases = {"champion": back, "previous": previous.tags.get("replaced")}
        plan = Plan(decision=decided, tags={"rolled_back": reason}, aliases=aliases, champion=number)
        return carry_out(client, workspace, plan)


def list_models(workspace: Path = Path()) -> list[dict[str, Any]]:
    """Every version, the newest first: its aliases, metrics, origin and the last decision on it."""
    client, _ = connect(workspace)
    versions = _versions(client)
    aliases = client.get_registered_model(MODEL_NAME).aliases if versions else {}
    rows = []
    for version in sorted(versions, key=lambda v: int(v.version), reverse=True):
        facts = facts_of(version)
        mine = sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))
        facts.pop("evaluation_sets", None)
        rows.append({"version": str(version.version), "aliases": mine, **{"metrics": {}}, **facts})
    return rows


def facts_of(version: ModelVersion) -> dict[str, Any]:
    """The tags of a version, those that hold JSON read."""
    return {
        name: json.loads(text) if name in _JSON_TAGS or name.startswith("decision_") else text
        for name, text in version.tags.items()
    }


def candidate(version: ModelVersion) -> Candidate:
    """A version as the rules see it."""
    facts = facts_of(version)
    latency, size = facts.get("latency_ms"), facts.get("size_mib")
    return Candidate(
        version=str(version.version),
        metrics=facts.get("metrics", {}),
        evaluation_sets=facts.get("evaluation_sets", {}),
        checks=facts.get("data_checks"),
        calibration_error=facts.get("calibration_error", {}),
        latency_ms=None if latency is None else float(latency),
        size_mib=None if size is None else float(size),
        shadow=facts.get("shadow"),
        rolled_back=facts.get("rolled_back"),
    )


def version_called(workspace: Path, name: str) -> ModelVersion:
    """The version that `name` means: champion, challenger, previous or a number; `ValueError` where there is none."""
    client, _ = connect(workspace)
    return find_version(client, name)


def _versions(client: MlflowClient) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name='{MODEL_NAME}'"))


def promotion_params(workspace: Path) -> PromotionParams:
    """Section `promotion` of the workspace's params.yaml."""
    sections = load_yaml(workspace / "params.yaml")
    return from_mapping(PromotionParams, sections.get("promotion") or {}, where="promotion")
