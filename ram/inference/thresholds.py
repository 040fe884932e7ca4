"""From which score on a tag is said to be there: of the checkpoint's file, or of the call."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ram.inference.calibration import AnyCalibration, calibration_of
from ram.io.tables import read_json
from ram.labels import LabelSystem, Tag
from ram.labels.forms import normalize

THRESHOLDS_FILE = "thresholds.json"
DEFAULT_THRESHOLD = 0.5  # where a checkpoint has no thresholds
_NUM_NEAREST = 3

# K tags


@dataclass(frozen=True)
class Thresholds:
    """From which score on a tag is said to be there, and what probability a score is."""

    default: float = DEFAULT_THRESHOLD
    open_set: float = DEFAULT_THRESHOLD  # for tags that the model was not trained on
    tags: Mapping[str, float] | None = None
    calibration: AnyCalibration | None = None
    open_set_calibration: AnyCalibration | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Thresholds:
        """Of thresholds.json: {"default", "tags": {name: threshold}, "open_set"} and, if it likes, calibrations."""
        default = float(document["default"])
        return cls(
            default,
            float(document.get("open_set", default)),
            dict(document.get("tags", {})),
            calibration_of(document),
            calibration_of(document.get("open_set_calibration") or {}),
        )

    def of(self, tag: Tag | None) -> float:
        """The threshold of a tag of the label system, or of a new one (None)."""
        return self.open_set if tag is None else (self.tags or {}).get(tag.name, self.default)

    def probability(self, tag: Tag | None, score: float) -> float | None:
        """The calibrated score of a tag of the label system, or of a new one; None without a calibration for such."""
        calibration = self.open_set_calibration if tag is None else self.calibration
        return None if calibration is None else float(calibration(np.array(score)))


def thresholds_in(directory: Path) -> Thresholds:
    """Those of `thresholds.json` in a checkpoint folder; where it has none, 0.5 for every tag."""
    path = directory / THRESHOLDS_FILE
    return Thresholds.from_json(read_json(path)) if path.is_file() else Thresholds()


def limits_of(
    thresholds: Thresholds,
    tags: Sequence[Tag | None],
    names: Sequence[str],
    wanted: float | Mapping[str, float] | None,
    label_system: LabelSystem,
) -> np.ndarray:
    """limits_K: every tag's own threshold, or `wanted`: one for all, or of those that it names.

    `ValueError` for what is no threshold in 0 … 1, and for a name that is neither a tag of the model nor one of `names`.
    """
    own_K = np.array([thresholds.of(tag) for tag in tags])
    if wanted is None:
        return own_K
    if not isinstance(wanted, Mapping):
        return np.full(len(tags), checked_threshold(wanted))
    place = {_key(name, tag): k for k, (name, tag) in enumerate(zip(names, tags, strict=True))}
    given: dict[str, float] = {}
    for name, value in wanted.items():
        tag = label_system.find(name) if isinstance(name, str) else None
        key = _key(name, tag) if isinstance(name, str) else ""
        if tag is None and key not in place:
            near = nearest(str(name), [*names, *label_system.names])
            raise ValueError(
                f"threshold names {name!r}, which is neither a tag of the model nor asked for in tags; "
                + (f"nearest: {', '.join(near)}" if near else "no tag is near to it")
            )
        if given.setdefault(key, checked_threshold(value)) != value:
            raise ValueError(f"threshold gives {name!r} two values, under two names of one tag; name it once")
        if key in place:
            own_K[place[key]] = value
    return own_K


def checked_threshold(value: Any) -> float:
    """The same number; `ValueError` where it is no number in 0 … 1."""
    number = isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
    if not number or not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"threshold must be in 0 … 1, got {value!r}")
    return float(value)


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """Up to three of `names` that are spelled most like `name`; none where all are far off."""
    return difflib.get_close_matches(name.lower(), list(dict.fromkeys(names)), _NUM_NEAREST, 0.6)


def _key(name: str, tag: Tag | None) -> str:
    return f"#{tag.tag_id}" if tag is not None else normalize(name)
