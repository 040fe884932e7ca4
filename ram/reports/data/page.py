"""The page: what was measured, looked at beside the runs before, with images; it loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

from ram.io.images import ImageError, open_image
from ram.io.tables import Table, write_text
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.reports.data import PAGE, history
from ram.reports.data.measures import read_image
from ram.reports.data.rejected import first_of_each_reason, is_accepted, read_refused
from ram.reports.data.snapshot import num_leaks, optional, take_snapshot
from ram.reports.data.view_models import check_views, coverage_view, drift_view, run_rows
from ram.reports.run.examples import thumbnail
from ram.reports.run.page import make_environment

_REPEATS = ("duplicate_key", "exact_duplicate", "near_duplicate")
_THUMBNAIL = 160  # pixels of the longer side


def make_page(workspace: Path, num_runs: int, num_images: int, max_seconds: float) -> Path:
    """Measure the workspace, add it to the history and write the page of the last `num_runs` runs; where it is.

    `num_images` a reason of the quarantine are shown; sources are read for them for `max_seconds` each at most.
    """
    history.append(take_snapshot(workspace), workspace)
    runs = history.read(workspace, num_runs)
    page = _render(
        {
            **_now(runs),
            "runs": run_rows(runs),
            "checks": check_views(runs),
            "drift": drift_view(runs),
            "coverage": coverage_view(
                runs[-1], optional("label_system_report", workspace) or {}, runs[-2] if len(runs) > 1 else None
            ),
            **_images(workspace, runs[-1], num_images, max_seconds),
        }
    )
    path = workspace / PAGE
    write_text(page, path)
    return path


def _now(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    run = runs[-1]
    refused = sum(count for reason, count in run["quarantine"].items() if not is_accepted(reason))
    languages = run["captions"]["languages"]
    known = sum(count for language, count in languages.items() if language != "undetermined")
    return {
        "run": run,
        "share_refused": refused / max(refused + run["images"]["num"], 1),
        "share_english": languages.get("en", 0) / known if known else None,
        "num_leaks": num_leaks(run["leaks"]),
        "failures": [
            f"{table}: {rule['description']} ({rule['observed']})"
            for table, check in run["checks"].items()
            for rule in check["rules"].values()
            if not rule["passed"] and rule["severity"] == "critical"
        ],
    }


def _images(workspace: Path, run: Mapping[str, Any], num: int, max_seconds: float) -> dict[str, Any]:
    """Thumbnails: what was refused, by reason; repeats beside what they repeat; the closest pairs across the splits."""
    images = read_artifact(artifact("images"), workspace)
    examples = first_of_each_reason(read_artifact(artifact("quarantine"), workspace), num)
    wanted = {
        (row["source"], row["key"]) for reason, rows in examples.items() if not is_accepted(reason) for row in rows
    }
    listing = optional("sources", workspace)
    found, notes = read_refused(listing, wanted, max_seconds) if listing and wanted else ({}, [])
    accepted = {
        f"{row['source']}/{row['key']}" for reason, rows in examples.items() if is_accepted(reason) for row in rows
    }
    kept = {row["kept"] for rows in examples.values() for row in rows if row["kept"]}
    shards = workspace / artifact("image_shards").path
    own = _thumbnails(images, shards, sorted(accepted | kept))
    for rows in examples.values():
        for row in rows:
            image_id = f"{row['source']}/{row['key']}"
            content = found.get((row["source"], row["key"]))
            row["image"] = own.get(image_id) if image_id in accepted else _thumbnail(content)
            row["kept_image"] = own.get(row["kept"])
    return {
        "refused": {reason: rows for reason, rows in examples.items() if reason not in _REPEATS},
        "repeats": {reason: rows for reason, rows in examples.items() if reason in _REPEATS},
        "notes": notes,
        "closest": _closest(images, shards, run["leaks"]["images"]["closest"]),
    }


def _closest(images: Table, shards: Path, pairs: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    if not pairs:
        return []
    names = _rows_at(images, {row for pair in pairs for row in pair[:2]})
    own = _thumbnails(images, shards, sorted({entry["image_id"] for entry in names.values()}))
    return [
        {
            "distance": distance,
            "sides": [{**names[row], "image": own[names[row]["image_id"]]} for row in (judged, learned)],
        }
        for judged, learned, distance in pairs
    ]


def _rows_at(images: Table, rows: set[int]) -> dict[int, dict[str, str]]:
    """{row: its image_id and split}."""
    found: dict[int, dict[str, str]] = {}
    start = 0
    for batch in images.batches(["image_id", "split"]):
        own = sorted(row for row in rows if start <= row < start + batch.num_rows)
        found |= dict(zip(own, batch.take(pa.array([row - start for row in own], pa.int64())).to_pylist(), strict=True))
        start += batch.num_rows
    return found


def _thumbnails(images: Table, shards: Path, image_ids: Sequence[str]) -> dict[str, str | None]:
    """Data URIs of accepted images by id; the table is read for these rows alone."""
    if not image_ids:
        return {}
    rows = images.read(filters=[("image_id", "in", list(image_ids))]).to_pylist()
    return {row["image_id"]: _thumbnail(read_image(shards, row)) for row in rows}


def _thumbnail(content: bytes | None) -> str | None:
    """A data URI, or None for what is missing or no image that can be opened."""
    if content is None:
        return None
    try:
        return thumbnail(open_image(content), _THUMBNAIL)
    except ImageError:
        return None


def _render(context: Mapping[str, Any]) -> str:
    own, shared = resources.files("ram.reports.data"), resources.files("ram.reports.run")
    style = shared.joinpath("style.css").read_text(encoding="utf-8") + own.joinpath("style.css").read_text(
        encoding="utf-8"
    )
    template = make_environment().from_string(own.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    return template.render(style=style, **context)
