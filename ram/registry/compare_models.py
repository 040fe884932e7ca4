"""Two versions on the same folder of images, before the one replaces the other: what would people see change?

There are no labels here, so nothing is better or worse: the comparison tells how much the answers differ, and where.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ram.datasets.folder import images_in
from ram.io.progress import track
from ram.io.tables import write_json
from ram.registry.publish import version_called
from ram.tracking.server import MODEL_NAME, connect, model_dir

SHADOW_DIR = Path(".state", "shadow")
_NUM_SHOWN = 10


def shadow(
    folder: Path, workspace: Path = Path(), challenger: str = "challenger", champion: str = "champion"
) -> dict[str, Any]:
    """Tag the images of `folder` with both; how much they agree, written to `.state/shadow` and to the challenger's tags.

    `agreement`: the mean over the images of the tags that both give in those that either gives, 1 where both give none.
    """
    from ram.inference.tagger import load

    images = images_in(folder)
    new, old = version_called(workspace, challenger), version_called(workspace, champion)
    if new.version == old.version:
        raise ValueError(f"{challenger} and {champion} are the same version {new.version}; name two that differ")
    sides = [_Side(load(str(model_dir(str(v.version), workspace)))) for v in (new, old)]
    rows, refused = [], []
    for path in track(images, "shadow", unit="image"):
        try:
            mine, theirs = (side.tags(path) for side in sides)
        except OSError as error:
            refused.append(f"{path.relative_to(folder)}: {error}")
            continue
        rows.append(_row(path.relative_to(folder).as_posix(), mine, theirs))
    if not rows:
        raise ValueError(f"none of the {len(images)} images of {folder} can be read; the first: {refused[0]}")
    result = {
        "challenger": str(new.version),
        "champion": str(old.version),
        "folder": str(folder),
        **_summary(rows),
        "latency_ms": {"challenger": sides[0].latency_ms, "champion": sides[1].latency_ms},
        "refused": refused,
    }
    write_json(result, workspace / SHADOW_DIR / f"v{new.version}-v{old.version}.json")
    client, _ = connect(workspace)
    short = {name: result[name] for name in ("champion", "folder", "agreement", "num_images")}
    client.set_model_version_tag(MODEL_NAME, new.version, "shadow", json.dumps(short, sort_keys=True))
    return result


class _Side:
    """One of the two models, and how long it took."""

    def __init__(self, tagger: Callable[[list[str]], Sequence[Sequence[Any]]]) -> None:
        self._tagger = tagger
        self._times_s: list[float] = []

    def tags(self, path: Path) -> set[str]:
        start = time.perf_counter()
        found = self._tagger([str(path)])[0]
        self._times_s.append(time.perf_counter() - start)
        return {tag.name for tag in found}

    @property
    def latency_ms(self) -> float:
        return round(statistics.median(self._times_s) * 1000, 2)


def _row(image: str, mine: set[str], theirs: set[str]) -> dict[str, Any]:
    either = mine | theirs
    return {
        "image": image,
        "agreement": len(mine & theirs) / len(either) if either else 1.0,
        "gained": sorted(mine - theirs),
        "lost": sorted(theirs - mine),
        "num_tags": [len(mine), len(theirs)],
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    gained, lost = (Counter(tag for row in rows for tag in row[sort]) for sort in ("gained", "lost"))
    return {
        "num_images": len(rows),
        "agreement": statistics.fmean(row["agreement"] for row in rows),
        "num_same": sum(row["agreement"] == 1 for row in rows),
        "tags_per_image": {
            side: statistics.fmean(row["num_tags"][i] for row in rows)
            for i, side in enumerate(("challenger", "champion"))
        },
        "gained": dict(gained.most_common(_NUM_SHOWN)),
        "lost": dict(lost.most_common(_NUM_SHOWN)),
        "least_alike": sorted(rows, key=lambda row: row["agreement"])[:_NUM_SHOWN],
    }
