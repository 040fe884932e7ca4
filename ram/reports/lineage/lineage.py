"""Every table's word on one row, and where there is no row, why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa

from ram.io.tables import Table
from ram.labels import LabelSystem, Tag
from ram.labels.tagging import CaptionTagger
from ram.pipeline.catalog import artifact
from ram.training.examples import targets_of

Read = Callable[[str], Any]  # name of an artifact -> the artifact, or None where the workspace does not have it
_SIDES = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, kw_only=True)
class Life:
    """What is known of one (image, tag); None for what a stage that has not run would say, or has not said."""

    image: dict[str, Any]
    tag: dict[str, Any]
    captions: list[dict[str, Any]]  # caption_index, caption, skipped (why), phrases, naming (those that mean the tag)
    generated_caption: dict[str, Any] | None  # caption, log_probability, naming
    parsed: dict[str, Any] | None
    generated: dict[str, Any] | None
    threshold: dict[str, Any] | None  # from which score on the tag is predicted
    cleaned: dict[str, Any] | None
    box: tuple[float, float, float, float] | None
    verdict: dict[str, Any] | None
    training: list[dict[str, Any]] = field(default_factory=list)  # model, target (0 … 1)
    why_not: list[dict[str, str]] = field(default_factory=list)  # step, reason: where there is no row

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def tell(
    image: Mapping[str, Any],
    tag: Tag,
    read: Read,
    label_system: LabelSystem,
    tagger: CaptionTagger,
    verdict: Mapping[str, Any] | None,
    predicted_targets: Mapping[str, str],
) -> Life:
    """The life of the row. `predicted_targets` are the parameters of that name (`ram.training.examples`) of the models
    retrained and finetuned; one that is left out does not train on cleaned tags."""
    captions = _captions(image["image_id"], tag, read, tagger)
    parsed = _row(read("parsed_tags"), image["image_id"], tag.tag_id)
    generated = _row(read("generated_tags"), image["image_id"], tag.tag_id)
    cleaned = _row(read("cleaned_tags"), image["image_id"], tag.tag_id)
    if cleaned is None and generated is not None:
        columns = [*_SIDES, "region_score", "held_out_evidence"]
        located = _row(read("region_features"), image["image_id"], tag.tag_id, columns)
    else:
        located = cleaned
    sides = [located[side] for side in _SIDES] if located else [None]
    report = read("generation_report")
    life = Life(
        image=dict(image),
        tag={"tag_id": tag.tag_id, "name": tag.name, "kind": tag.kind, "synonyms": list(tag.synonyms)},
        captions=captions,
        generated_caption=_generated_caption(image["image_id"], read),
        parsed=parsed,
        generated=generated,
        threshold=None if report is None else report["thresholds"].get(tag.name),
        cleaned=cleaned,
        box=None if None in sides else tuple(sides),  # type: ignore[arg-type]
        verdict=None if verdict is None else dict(verdict),
    )
    if image["split"] == "train":
        life.training.extend(_training(life, predicted_targets, read("cleaned_tags") is not None))
    return life


def _rows(table: Table | None, image_id: str, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
    if table is None:
        return None
    wanted = None if columns is None else list(dict.fromkeys(["image_id", *columns]))
    return table.to_pandas(wanted, [("image_id", "=", image_id)])


def _row(
    table: Table | None, image_id: str, tag_id: int, columns: Sequence[str] | None = None
) -> dict[str, Any] | None:
    rows = _rows(table, image_id, None if columns is None else ["tag_id", *columns])
    if rows is None or not (rows["tag_id"] == tag_id).any():
        return None
    own = rows[rows["tag_id"] == tag_id].iloc[0].drop(["image_id", "tag_id"]).to_dict()
    return {str(name): _plain(value) for name, value in own.items()}


def _plain(value: Any) -> Any:
    """A value as JSON has it: no NaN, no numpy."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value


def _captions(image_id: str, tag: Tag, read: Read, tagger: CaptionTagger) -> list[dict[str, Any]]:
    pairs = _rows(read("pairs"), image_id)
    if pairs is None:
        return []
    phrases, skipped = _rows(read("caption_phrases"), image_id), _rows(read("skipped_captions"), image_id)
    found = []
    for row in pairs.sort_values("caption_index").to_dict("records"):
        index = row["caption_index"]
        own = [] if phrases is None else _of_caption(phrases, index)
        refused = None if skipped is None else skipped.loc[skipped["caption_index"] == index, "reason"]
        found.append(
            {
                "caption_index": int(index),
                "caption": row["caption"],
                "skipped": None if refused is None or refused.empty else str(refused.iloc[0]),
                "phrases": [phrase for phrase, _ in own],
                "naming": naming(own, tag.tag_id, tagger),
            }
        )
    return found


def _of_caption(phrases: pd.DataFrame, index: int) -> list[tuple[str, str]]:
    own = phrases[phrases["caption_index"] == index]
    return list(zip(own["phrase"], own["kind"].astype(str), strict=True))


def naming(phrases: Sequence[tuple[str, str]], tag_id: int, tagger: CaptionTagger) -> list[dict[str, str]]:
    """The phrases of one caption that mean the tag: {"phrase", "how"}, how being named, implied, likely or possible.

    A phrase that means it only together with the others of its caption is given as all of them.
    """
    found = []
    for phrase in dict.fromkeys(phrases):
        found += [{"phrase": phrase[0], "how": how} for how, ids in tagger([phrase])._asdict().items() if tag_id in ids]
    if not found:
        joint = " + ".join(phrase for phrase, _ in phrases)
        found = [{"phrase": joint, "how": how} for how, ids in tagger(phrases)._asdict().items() if tag_id in ids]
    return found


def _generated_caption(image_id: str, read: Read) -> dict[str, Any] | None:
    rows = _rows(read("generated_captions"), image_id)
    if rows is None or rows.empty:
        return None
    return {"caption": rows["caption"].iloc[0], "log_probability": float(rows["log_probability"].iloc[0])}


def _training(life: Life, predicted_targets: Mapping[str, str], is_cleaned: bool) -> list[dict[str, Any]]:
    """What each training takes the row for: a target from 0 to 1; 0 is a negative, as every tag without a row is."""
    steps: list[dict[str, Any]] = [{"model": "preliminary", "target": 1.0 if life.parsed else 0.0}]
    if life.generated is not None:
        target = _target(life.generated, predicted_targets["retrained"])
        steps.append({"model": "retrained_uncleaned", "target": target})
    if is_cleaned:
        steps += [
            {"model": m, "target": _target(life.cleaned, parameter)} for m, parameter in predicted_targets.items()
        ]
    return steps


def _target(row: Mapping[str, Any] | None, predicted_target: str) -> float:
    if row is None:
        return 0.0
    fields = [field for field in artifact("cleaned_tags").schema or () if field.name in row]
    batch = pa.RecordBatch.from_pylist([dict(row)], pa.schema(fields))
    return float(targets_of(batch, predicted_target)[0])
