"""The commands on label systems: `ram labels show | diff | review`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ram.labels import LabelSystem
from ram.pipeline.catalog import KINDS, artifact

app = typer.Typer(help="The label system: show it, compare two, review it.", no_args_is_help=True)

_LABELS = "label_system.json"
_SOURCE = "A label_system.json, a folder that has one, a git revision, or a registered model."
_AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def read_label_system(source: str) -> LabelSystem:
    """The label system of a file, of a checkpoint or workspace folder, of a git revision, or of a registered model."""
    from ram.io.tables import read_json

    path = Path(source)
    for candidate in (path, path / _LABELS, path / artifact("label_system").path):
        if candidate.is_file():
            return LabelSystem.from_json(read_json(candidate))
    if path.exists():
        raise ValueError(f"{source} has no {_LABELS}; name the file, a checkpoint folder or a workspace")
    if _is_revision(source):
        return _of_revision(source)
    from ram.tracking.server import model_dir

    return LabelSystem.from_json(read_json(model_dir(source) / _LABELS))


def _is_revision(source: str) -> bool:
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{source}^{{commit}}"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _of_revision(revision: str) -> LabelSystem:
    from ram.io.tables import read_json

    path = artifact("label_system").path
    with tempfile.TemporaryDirectory(prefix="ram-labels-") as directory:
        out = Path(directory, _LABELS)
        command = [sys.executable, "-m", "dvc", "get", "--quiet", ".", str(path), "--rev", revision, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["dvc says nothing"]
            raise ValueError(
                f"no {path} at git revision {revision}: {reason[0]}; "
                "its dvc.lock must be in git, and the file in the DVC cache or remote (dvc pull)"
            )
        return LabelSystem.from_json(read_json(out))


@app.command()
def show(
    source: Annotated[str, typer.Argument(help=_SOURCE)] = str(artifact("label_system").path),
    top: Annotated[int, typer.Option(help="Tags shown of each kind, the most frequent first.")] = 10,
    as_json: _AsJson = False,
) -> None:
    """Counts by kind and source, the most frequent tags, and the coverage of the vocabularies."""
    labels = read_label_system(source)
    from ram.io.tables import read_json

    report_path = artifact("label_system_report").path
    report = read_json(report_path) if report_path.is_file() else {}
    facts: dict[str, Any] = {
        "version": labels.version,
        "num_tags": len(labels),
        "num_synonyms": sum(len(tag.synonyms) for tag in labels),
        "num_tags_by_kind": {kind: sum(tag.kind == kind for tag in labels) for kind in KINDS},
        "num_tags_by_source": dict(Counter(name for tag in labels for name in tag.sources).most_common()),
        "num_tags_with_parents": sum(bool(tag.parents) for tag in labels),
        "num_tags_with_threshold": sum(tag.threshold is not None for tag in labels),
        "embeddings": labels.to_json().get("embeddings"),
        "top_tags": {kind: _top(labels, kind, top) for kind in KINDS},
        "coverage": report.get("coverage", {}) if report.get("version") == labels.version else {},
    }
    print(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _describe(facts))


def _top(labels: LabelSystem, kind: str, num: int) -> list[tuple[str, int]]:
    tags = sorted((tag for tag in labels if tag.kind == kind), key=lambda tag: -tag.frequency)
    return [(tag.name, tag.frequency) for tag in tags[:num]]


def _describe(facts: Mapping[str, Any]) -> str:
    lines = [
        f"label system {facts['version']}: {facts['num_tags']} tags, {facts['num_synonyms']} synonyms, "
        f"{facts['num_tags_with_parents']} tags with parents, {facts['num_tags_with_threshold']} with a threshold"
    ]
    if made_by := facts["embeddings"]:
        lines.append(
            f"embedded by {made_by['text_encoder']}, templates {made_by['templates']}, {made_by['width']} wide"
        )
    for kind, tags in facts["top_tags"].items():
        named = ", ".join(f"{name} {count}" for name, count in tags)
        lines.append(f"{kind:>10} {facts['num_tags_by_kind'][kind]:>5}  {named}")
    lines.append("sources: " + ", ".join(f"{name} {num}" for name, num in facts["num_tags_by_source"].items()))
    return "\n".join([*lines, *_coverage_table(facts["coverage"])])


def _coverage_table(coverage: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not coverage:
        return ["no coverage: the report of this version's build is not here"]
    lines = [
        f"{'vocabulary':16} {'names':>6} {'exact':>6} {'synonym':>8} {'missing':>8} {'found':>7} {'of mentions':>12}"
    ]
    for name, c in coverage.items():
        weighed = "–" if c["mention_share"] is None else f"{c['mention_share']:.1%}"
        lines.append(
            f"{name:16} {c['num_names']:>6} {c['num_exact']:>6} {c['num_synonym']:>8} {c['num_missing']:>8} "
            f"{c['share']:>7.1%} {weighed:>12}"
        )
    return lines


@app.command("diff")
def show_diff(
    before: Annotated[str, typer.Argument(help=_SOURCE)],
    after: Annotated[str, typer.Argument(help=_SOURCE)],
    top: Annotated[int, typer.Option(help="Changes shown of each sort.")] = 20,
    as_json: _AsJson = False,
) -> None:
    """What changed from one label system to another: tags added, removed, renamed, merged, split, and their facts."""
    from ram.labels.diff import describe, diff

    change = diff(read_label_system(before), read_label_system(after))
    print(json.dumps(change.to_json(), indent=2, ensure_ascii=False) if as_json else describe(change, top))


@app.command()
def review(
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
    num_shown: Annotated[int, typer.Option("--top", help="Changes shown of each sort.")] = 20,
) -> None:
    """Take new suggestions into the review file, check it, and say what the next build will make of it.

    Rows that are there stay as they are. The build is tried in memory, which takes as long as the stage does.
    """
    from ram.labels.diff import describe, diff
    from ram.labels.review import add_suggestions
    from ram.pipeline.artifacts import read_artifact
    from ram.pipeline.params import load_yaml, stage_params
    from ram.stages import build_label_system as stage

    parameters = stage_params(load_yaml(params), "build_label_system", stage.Params)
    if parameters.review is None:
        raise ValueError("build_label_system.review is null: there is no review file; name one in data/vocabularies")
    vocabularies = artifact("vocabularies").path
    path = vocabularies / parameters.review
    frames = [
        read_artifact(entry).fillna("").astype(str)
        for name in ("label_suggestions", "tag_neighbors")
        if (entry := artifact(name)).path.is_file()
    ]
    num_new = add_suggestions(path, [row for frame in frames for row in frame.to_dict("records")])
    made = stage.run(stage.Inputs(read_artifact(artifact("caption_phrases")), vocabularies), parameters)
    counts = made.label_system_report["review"]
    print(
        f"{path}: {num_new} new suggestions; {counts['num_accepted']} accepted, {counts['num_rejected']} rejected, "
        f"{counts['num_undecided']} undecided"
    )
    for row in counts["without_effect"]:
        print(f"without effect now: {row}")
    current = artifact("label_system").path
    if current.is_file():
        print("the next build:")
        print(describe(diff(read_label_system(str(current)), LabelSystem.from_json(made.label_system)), num_shown))
