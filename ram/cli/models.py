"""`ram models`: the registered models. Tables for people; `--json` for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ram.cli.output import cell, text_table

app = typer.Typer(help="The registered models: list, compare, register, promote, roll back.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_SHORT = 12  # characters shown of a hash


def _show(document: Any, as_json: bool, as_text: Callable[[Any], str]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str) if as_json else as_text(document))


@app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """Registered versions, with their metrics and aliases."""
    from ram.registry.publish import list_models, promotion_params

    versions = list_models(Path())
    deciding = promotion_params(Path()).deciding
    _show(versions, as_json, lambda rows: text_table([_list_row(row, deciding) for row in rows]) or "no version yet")


def _list_row(version: Mapping[str, Any], deciding: str) -> dict[str, Any]:
    return {
        "version": version["version"],
        "aliases": version["aliases"],
        deciding: version["metrics"].get(deciding),
        "decision": version.get("decision_outcome", "not decided"),
        "latency_ms": version.get("latency_ms"),
        "size_mib": version.get("size_mib"),
        "git_revision": version.get("git_revision", "")[:_SHORT] + ("+" if version.get("git_dirty") == "true" else ""),
        "dvc_lock": version.get("dvc_lock", "")[:_SHORT],
        "data": version.get("data_hash", "")[:_SHORT],
        "label_system": version.get("label_system_version", "")[:_SHORT],
    }


@app.command("register")
def models_register() -> None:
    """Register the fine-tuned model of this workspace as `challenger`; the same model twice is one version."""
    from ram.registry.publish import register

    print(f"version {register(Path())}")


@app.command("evaluate")
def models_evaluate(
    version: Annotated[str, typer.Argument(help="champion, challenger, previous or a number.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Score a version on the test images that this workspace has now, and keep that with the version."""
    from ram.registry.versions import evaluate_version

    metrics = evaluate_version(version, Path())
    _show(metrics, as_json, lambda found: text_table([{"metric": k, "value": v} for k, v in found.items()]))


@app.command("promote")
def models_promote(
    override: Annotated[
        str | None, typer.Option(help="Promote although a rule refuses; the reason, which goes on record.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the challenger the champion if it keeps every rule of the section `promotion`; says why if not."""
    from ram.registry.publish import promote

    _show(promote(Path(), override=override), as_json, _decision_text)


@app.command("rollback")
def models_rollback(
    reason: Annotated[str, typer.Option(help="Why; goes on record.")] = "rolled back by hand",
    as_json: AsJson = False,
) -> None:
    """Make the previous champion the champion again."""
    from ram.registry.publish import rollback

    _show(rollback(Path(), reason=reason), as_json, _decision_text)


def _decision_text(decision: Mapping[str, Any]) -> str:
    from ram.registry.promotion.decision import as_sentence

    rows = [{"rule": r["rule"], "kept": r["passed"], "found": r["detail"]} for r in decision["rules"]]
    return f"{as_sentence({**decision, 'failures': []})}\n\n{text_table(rows)}"


@app.command("diff")
def models_diff(
    before: Annotated[str, typer.Argument(help="champion, challenger, previous or a number.")],
    after: Annotated[str, typer.Argument(help="The version to hold against it.")],
    as_json: AsJson = False,
) -> None:
    """What changed from one version to another: origin, metrics, thresholds, label system."""
    from ram.registry.versions import diff

    _show(diff(before, after, Path()), as_json, _diff_text)


def _diff_text(change: Mapping[str, Any]) -> str:
    from ram.labels.diff import LabelDiff, describe

    before, after = change["versions"]
    parts = [f"version {before} -> version {after}"]
    if other := [name for name, same in change["comparable"].items() if not same]:
        parts.append(f"scored on other images: {', '.join(other)}; `ram models evaluate` makes them comparable")
    for part in ("origin", "metrics", "measured", "thresholds"):
        rows = [_change_row(name, *pair) for name, pair in change[part].items()]
        parts += [f"{part}\n{text_table(rows)}"] if rows else []
    parts.append(describe(LabelDiff(**change["label_system"])))
    return "\n\n".join(parts)


def _change_row(name: str, before: Any, after: Any) -> dict[str, Any]:
    both = isinstance(before, float) and isinstance(after, float)
    return {"": name, "before": before, "after": after, "change": f"{after - before:+.4f}" if both else ""}


@app.command("shadow")
def models_shadow(
    folder: Annotated[Path, typer.Argument(help="Images to tag with both.")],
    challenger: Annotated[str, typer.Option(help="The version that may take over.")] = "challenger",
    champion: Annotated[str, typer.Option(help="The version in use.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Tag a folder with two versions: how much their answers differ, and on which images."""
    from ram.registry.compare_models import shadow

    _show(shadow(folder, Path(), challenger, champion), as_json, _shadow_text)


def _shadow_text(found: Mapping[str, Any]) -> str:
    sides = ("challenger", "champion")
    table = [
        {"": name, **{side: f"{found[name][side]:.2f}" for side in sides}} for name in ("tags_per_image", "latency_ms")
    ]
    parts = [
        f"version {found['challenger']} against champion {found['champion']} on {found['num_images']} images: "
        f"agreement {found['agreement']:.3f}, {found['num_same']} with the same tags",
        text_table(table),
        *(
            f"{sort}: " + ", ".join(f"{tag} ({count})" for tag, count in found[sort].items())
            for sort in ("gained", "lost")
            if found[sort]
        ),
        text_table(
            [{k: cell(row[k]) for k in ("image", "agreement", "gained", "lost")} for row in found["least_alike"]]
        ),
        *(f"not tagged: {line}" for line in found["refused"]),
    ]
    return "\n\n".join(parts)
