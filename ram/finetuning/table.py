"""A user's table of (image, tag) -> labels of a model's tags, and the rows that cannot be used, with their reason."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ram.datasets.table import table_rows
from ram.labels import LabelSystem

COLUMNS = ("image", "tag", "label")
QUARANTINE_COLUMNS = ("row", *COLUMNS, "reason", "detail")
_POSITIVE = {"1", "1.0", "true", "yes"}
_NEGATIVE = {"0", "0.0", "false", "no"}


@dataclass(frozen=True)
class Labels:
    """What a table says.

    `rows` has image (a normalized path), tag_id and positive, each pair once. `unknown` has image and tag_id: pairs
    that were named, and whose rows cannot be used. `quarantine` has those rows, with the reason.
    """

    rows: pd.DataFrame
    unknown: pd.DataFrame
    quarantine: pd.DataFrame
    label_system: LabelSystem


def read_table(path: Path) -> pd.DataFrame:
    """Columns row (number in the file, from 1, without the header), image, tag and label, all text as it stands."""
    if not path.is_file():
        raise ValueError(f"no table at {path}; name a CSV or Parquet file with columns image and tag")
    frame = pd.DataFrame(table_rows(path, COLUMNS, COLUMNS[:2]))
    if frame.empty:
        raise ValueError(f"{path} has no row; write one row an image and tag")
    found = frame.reindex(columns=list(COLUMNS))
    for name in COLUMNS:
        if (odd := next((v for v in found[name] if isinstance(v, list | dict | bytes | np.ndarray)), None)) is not None:
            raise ValueError(f"{path}: column {name!r} must hold one text or number a row, got {str(odd)[:60]!r}")
    if "label" not in frame:
        found["label"] = "1"
    found = found.map(lambda value: "" if pd.isna(value) else str(value).strip())
    found.insert(0, "row", range(1, len(found) + 1))
    return found


def resolve(table: pd.DataFrame, start: LabelSystem) -> Labels:
    """The labels of a table: tags by name or synonym, what is no tag of `start` added behind its tags.

    Reasons: empty_image, empty_tag, bad_label, contradiction (one image and tag with labels of both kinds, under
    whatever names), duplicate.
    """
    frame = table.assign(image=table["image"].map(lambda path: posixpath.normpath(path) if path else ""))
    named = frame["tag"].map(lambda name: "" if not name else " ".join(name.lower().split()))
    wanted = named[named.ne("") & frame["image"].ne("")].unique().tolist()
    label_system = start.extended(wanted)
    tag_of = {name: label_system.find(name) for name in wanted}
    frame["tag_id"] = [tag.tag_id if (tag := tag_of.get(name)) else -1 for name in named]
    label = frame["label"].str.lower()
    frame["positive"] = label.isin(_POSITIVE)
    frame["reason"], frame["detail"] = "", ""
    _mark(frame, ~(frame["positive"] | label.isin(_NEGATIVE)), "bad_label", "a label is 1, yes, true or 0, no, false")
    _mark(frame, named.eq(""), "empty_tag", "the tag is empty")
    _mark(frame, frame["image"].eq(""), "empty_image", "the path is empty")
    usable = frame[frame["reason"].eq("")]
    both = usable.groupby(["image", "tag_id"])["positive"].transform("nunique").gt(1)
    contrary = usable.index[both]
    _mark(frame, frame.index.isin(contrary), "contradiction", "this image and tag have labels of both kinds")
    usable = frame[frame["reason"].eq("")]
    again = usable.index[usable.duplicated(["image", "tag_id"])]
    _mark(frame, frame.index.isin(again), "duplicate", "an earlier row says the same")
    good = frame["reason"].eq("")
    # A bad row beside a good one of the same pair takes nothing away from it.
    named_badly = frame[frame["reason"].isin(["bad_label", "contradiction"]) & frame["tag_id"].ge(0)]
    unknown = named_badly[["image", "tag_id"]].drop_duplicates()
    kept = pd.MultiIndex.from_frame(frame.loc[good, ["image", "tag_id"]])
    unknown = unknown[~pd.MultiIndex.from_frame(unknown).isin(kept)]
    return Labels(
        rows=frame.loc[good, ["row", "image", "tag", "label", "tag_id", "positive"]].reset_index(drop=True),
        unknown=unknown.reset_index(drop=True),
        quarantine=frame.loc[~good, list(QUARANTINE_COLUMNS)].reset_index(drop=True),
        label_system=label_system,
    )


def _mark(frame: pd.DataFrame, where: pd.Series | object, reason: str, detail: str) -> None:
    frame.loc[where, ["reason", "detail"]] = [reason, detail]


def set_aside(labels: Labels, reason_of: pd.Series, reason: str) -> Labels:
    """The labels without the rows whose `reason_of`, aligned with `labels.rows`, is a text: these are quarantined."""
    bad = reason_of.notna()
    moved = labels.rows[bad].assign(reason=reason, detail=reason_of[bad])[list(QUARANTINE_COLUMNS)]
    return Labels(
        rows=labels.rows[~bad].reset_index(drop=True),
        unknown=labels.unknown,
        quarantine=pd.concat([labels.quarantine, moved], ignore_index=True).sort_values("row", ignore_index=True),
        label_system=labels.label_system,
    )


def trimmed(labels: Labels, start: LabelSystem) -> Labels:
    """The labels with `start` and those new tags alone that still have a row."""
    used = set(labels.rows["tag_id"])
    new = [tag.name for tag in labels.label_system.tags[len(start) :] if tag.tag_id in used]
    label_system = start.extended(new)
    tag_id_of = {tag.tag_id: found.tag_id for tag in labels.label_system if (found := label_system.find(tag.name))}
    unknown = labels.unknown[labels.unknown["tag_id"].isin(used)]
    return Labels(
        rows=labels.rows.assign(tag_id=labels.rows["tag_id"].map(tag_id_of)),
        unknown=unknown.assign(tag_id=unknown["tag_id"].map(tag_id_of)),
        quarantine=labels.quarantine,
        label_system=label_system,
    )
