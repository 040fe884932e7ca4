"""The measures of the workspace's data as they are now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import CHECKED_TABLES, artifact
from ram.pipeline.params import load_yaml
from ram.reports.data.leaks import image_leaks, tag_leaks, unseen_leaks
from ram.reports.data.measures import caption_statistics, image_statistics
from ram.reports.data.rejected import count_reasons
from ram.tracking.provenance import read_provenance
from ram.validation.frames import ImageIndex


def optional(name: str, workspace: Path) -> Any:
    """The artifact, or None where no stage has made it: a failed check stops the stages behind it."""
    return read_artifact(artifact(name), workspace) if (workspace / artifact(name).path).exists() else None


def take_snapshot(workspace: Path) -> dict[str, Any]:
    """Measures as JSON. Sections whose artifacts are not there yet are empty; `ValueError` where nothing was ingested."""
    images, pairs = (read_artifact(artifact(name), workspace) for name in ("images", "pairs"))
    skipped = optional("skipped_captions", workspace)
    balance = optional("balance", workspace) or {"tags": {}}
    label_report = optional("label_system_report", workspace) or {}
    checks = {table: optional(f"{table}_check", workspace) for table in CHECKED_TABLES}
    snapshot: dict[str, Any] = {
        "checks": {table: _check(report) for table, report in checks.items() if report is not None},
        "tags": {
            step: {tag: counts[step] for tag, counts in balance["tags"].items() if counts[step]}
            for step in ("parsed", "generated", "cleaned")
        },
        "images": image_statistics(images, workspace / artifact("image_shards").path),
        "captions": caption_statistics(pairs),
        "quarantine": count_reasons(read_artifact(artifact("quarantine"), workspace)),
        "skipped": count_reasons(skipped) if skipped is not None else {},
        "coverage": {name: _coverage(facts) for name, facts in label_report.get("coverage", {}).items()},
        "leaks": _leaks(workspace, images),
    }
    if (workspace / "dvc.lock").is_file():
        snapshot |= read_provenance(workspace).tags()
    return snapshot


def _check(report: dict[str, Any]) -> dict[str, Any]:
    wanted = ("description", "passed", "severity", "value", "observed", "limits")
    rules = {rule["name"]: {name: rule.get(name) for name in wanted} for rule in report["expectations"]}
    return {"passed": report["passed"], "num_rows": report["num_rows"], "rules": rules}


def _coverage(facts: dict[str, Any]) -> dict[str, Any]:
    wanted = ("num_names", "num_found", "num_exact", "num_synonym", "mention_share")
    return {name: facts[name] for name in wanted if name in facts}


def _leaks(workspace: Path, images: Any) -> dict[str, Any]:
    distance = load_yaml(workspace / "params.yaml").get("ingest_pairs", {}).get("max_hash_distance")
    found: dict[str, Any] = {"images": image_leaks(images, distance)}
    cleaned = optional("cleaned_tags", workspace)
    found["tag_rows"] = tag_leaks(ImageIndex(images), cleaned) if cleaned is not None else None
    found["unseen"] = unseen_leaks(optional("evaluation", workspace) or {})
    return found


def num_leaks(leaks: dict[str, Any]) -> int:
    """Images, rows of tags and names that should not be where they are."""
    names = {
        name
        for kinds in leaks["unseen"].values()
        for kind in ("leaked_by_labels", "leaked_by_synonym")
        for name in kinds.get(kind, [])
    }
    return leaks["images"]["same_bytes"] + leaks["images"]["near"] + (leaks["tag_rows"] or 0) + len(names)
