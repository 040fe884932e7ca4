"""Decisions carried out: tags, aliases, the record and the word to people, all of them also where a process is killed.

What is to be done is written down before the first step and removed after the last; every step may be done twice. Whoever
decides next finishes first what was begun.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ram.io.tables import read_json, write_json
from ram.pipeline.notify import notify
from ram.registry.promotion.decision import DECISIONS_DIR, as_sentence, record
from ram.tracking.server import MODEL_NAME, import_mlflow

if TYPE_CHECKING:
    from ram.tracking.server import MlflowClient, ModelVersion

UNFINISHED = DECISIONS_DIR / "unfinished.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a decision does: `tags` of the version that it is on, then `aliases` in their order (None: removed), the record.

    `champion` is the version that had the crown before.
    """

    decision: dict[str, Any]
    tags: dict[str, str]
    aliases: dict[str, str | None]
    champion: str | None


def carry_out(client: MlflowClient, workspace: Path, plan: Plan) -> dict[str, Any]:
    """Do it; the recorded decision. People are told where it is new."""
    write_json(asdict(plan), workspace / UNFINISHED)
    return _carry_out(client, workspace, plan, resumed=False)


def finish(client: MlflowClient, workspace: Path) -> dict[str, Any] | None:
    """Go on with the decision that a killed process had begun to carry out; it, or None where there is none.

    It is dropped where somebody else has crowned another version since.
    """
    path = workspace / UNFINISHED
    if not path.is_file():
        return None
    plan = Plan(**read_json(path))
    now, said = aliased(client, "champion"), as_sentence({**plan.decision, "failures": []})
    if plan.aliases and (number := version_number(now)) not in (plan.champion, plan.aliases["champion"]):
        path.unlink()
        print(f"an unfinished decision was dropped ({said}): version {number} has the crown now", file=sys.stderr)
        return None
    print(f"finishing a decision that was interrupted: {said}", file=sys.stderr)
    return _carry_out(client, workspace, plan, resumed=True)


def _carry_out(client: MlflowClient, workspace: Path, plan: Plan, resumed: bool) -> dict[str, Any]:
    for name, text in plan.tags.items():
        client.set_model_version_tag(MODEL_NAME, plan.decision["version"], name, text)
    for alias, version in plan.aliases.items():
        if version is not None:
            client.set_registered_model_alias(MODEL_NAME, alias, version)
        elif aliased(client, alias) is not None:
            client.delete_registered_model_alias(MODEL_NAME, alias)
    decided, new = record(workspace, plan.decision)
    if new or resumed:  # nobody knows whether it was told: rather twice than never
        notify(decided["outcome"], as_sentence(decided), {"decision": decided}, workspace)
    (workspace / UNFINISHED).unlink()
    return decided


def aliased(client: MlflowClient, alias: str) -> ModelVersion | None:
    """The version that has the alias; None where none has it."""
    exceptions = import_mlflow().exceptions
    try:
        return client.get_model_version_by_alias(MODEL_NAME, alias)
    except exceptions.MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_number(version: ModelVersion | None) -> str | None:
    """The number of a version as text; None for none."""
    return None if version is None else str(version.version)
