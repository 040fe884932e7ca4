"""What a round made and changed, read from the workspace, and the record of all rounds in `reports/rounds.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ram.io.tables import Table, copy_folder, read_json, write_json, write_text
from ram.model.checkpoint import checkpoint_version
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml
from ram.registry.rounds.change import tag_set_change
from ram.registry.rounds.page import PAGE_PATH, as_page
from ram.registry.rounds.params import RoundParams
from ram.reports.run.funnel import funnel

ROUNDS_PATH = Path("reports", "rounds.json")
_TAGS_DIR = Path(".state", "rounds")  # kept tags of the rounds, to compare the next one with


def read_rounds(workspace: Path) -> list[dict[str, Any]]:
    """The rounds that were noted, the first one first; none where there is no record."""
    path = workspace / ROUNDS_PATH
    return read_json(path)["rounds"] if path.is_file() else []


def note_round(workspace: Path, number: int, params: RoundParams) -> dict[str, Any]:
    """Note round `number`, whose artifacts the workspace holds; later rounds and an older record of it are forgotten.

    {"round", "checkpoint", "generator_version", "funnel", "tag_change", "dev_mAP", "gain", "mAP", "stop"}: tag_change and
    gain against the round before, null where that was not noted; stop says why no further round is worth it, or is null.
    """
    before = next((r for r in read_rounds(workspace) if r["round"] == number - 1), None)
    cleaned = _table(workspace, "cleaned_tags")
    images, parsed, generated = (_table(workspace, name) for name in ("images", "parsed_tags", "generated_tags"))
    dev = _dev_map(workspace)
    noted = {
        "round": number,
        "checkpoint": load_yaml(workspace / "params.yaml")["choose_generator"]["checkpoint"],
        "generator_version": checkpoint_version(workspace / artifact("generator_model").path),
        "funnel": funnel(images, parsed, generated, cleaned),
        "truth": read_json(workspace / artifact("cleaning_report").path).get("truth"),
        "tag_change": _change(workspace, number, cleaned),
        "dev_mAP": dev,
        "gain": None if before is None or dev is None or before["dev_mAP"] is None else dev - before["dev_mAP"],
        "mAP": _test_map(workspace),
    }
    noted["stop"] = reason_to_stop(noted, params)
    copy_folder(cleaned.path, _tags_dir(workspace, number), link=True)
    rounds = [r for r in read_rounds(workspace) if r["round"] < number]
    write_json({"rounds": [*rounds, noted]}, workspace / ROUNDS_PATH)
    write_text(as_page([*rounds, noted]), workspace / PAGE_PATH)
    return noted


def reason_to_stop(noted: Mapping[str, Any], params: RoundParams) -> str | None:
    """Why a further round is not worth it, as a sentence; None: it may be."""
    change, gain = noted["tag_change"], noted["gain"]
    if params.min_tag_change is not None and change is not None and change < params.min_tag_change:
        return f"{change:.2%} of the kept tags changed, less than {params.min_tag_change:.2%} (rounds.min_tag_change)"
    if params.min_gain is not None and gain is not None and gain < params.min_gain:
        return f"mAP on dev changed by {gain:+.4f}, less than {params.min_gain:+.4f} (rounds.min_gain)"
    return None


def _table(workspace: Path, name: str) -> Table:
    entry = artifact(name)
    assert entry.schema is not None
    return Table(workspace / entry.path, entry.schema)


def _tags_dir(workspace: Path, number: int) -> Path:
    return workspace / _TAGS_DIR / f"round-{number}"


def _change(workspace: Path, number: int, cleaned: Table) -> float | None:
    before = _tags_dir(workspace, number - 1)
    return tag_set_change(Table(before, cleaned.schema), cleaned) if before.is_dir() else None


def _dev_map(workspace: Path) -> float | None:
    """The retrained model's last mAP on split dev, the mean over benchmarks; None where none was measured."""
    curves = pd.read_csv(workspace / artifact("retrained_curves").path)
    own = curves[(curves["split"] == "dev") & curves["metric"].str.startswith("mAP/")]
    last = own[own["step"] == own["step"].max()]["value"]
    return None if last.empty or last.isna().any() else float(last.mean())


def _test_map(workspace: Path) -> dict[str, dict[str, float]]:
    """{model: {benchmark: mAP}} of the evaluation; nothing decides by it."""
    evaluation = read_json(workspace / artifact("evaluation").path)
    return {model: {name: facts["mAP"] for name, facts in found.items()} for model, found in evaluation.items()}
