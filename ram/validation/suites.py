"""The rules of each checked table: what its schema says, what the data must obey, and the bounds of params.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ram.pipeline.catalog import CATALOG, CHECKED_TABLES, KINDS, ORIGINS, REASONS, SPLITS
from ram.validation.rules import Frame, Rule

_VALUE_SETS = {"split": SPLITS, "origin": ORIGINS, "kind": KINDS, "reason": REASONS}
_FRACTIONS = ("score", "image_score", "region_score", "outlier_score", "wrong_probability", "x0", "y0", "x1", "y1")


@dataclass(frozen=True, kw_only=True, slots=True)
class PairBounds:
    """Bounds on the table pairs."""

    min_rows: int
    max_captions: int  # of one image
    max_share_of_one_caption: float  # rows with the most frequent caption: boilerplate shows here
    max_share_refused: float  # rows of the quarantine, of these and the accepted images

    def __post_init__(self) -> None:
        _require_shares(
            max_share_of_one_caption=self.max_share_of_one_caption, max_share_refused=self.max_share_refused
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TagBounds:
    """Bounds on a table of tags. Tags per image count images of split train that have at least one."""

    min_rows: int
    min_mean_tags: float
    max_mean_tags: float
    max_tags: int
    max_share_without_tags: float  # of the images of split train
    max_share_of_one_tag: float  # images with the most frequent tag, of all images of split train
    max_drift: float | None  # Jensen–Shannon divergence in bits, 0 equal … 1 disjoint; None: not checked

    def __post_init__(self) -> None:
        _require_shares(
            max_share_without_tags=self.max_share_without_tags, max_share_of_one_tag=self.max_share_of_one_tag
        )
        if self.min_mean_tags > self.max_mean_tags:
            raise ValueError(f"min_mean_tags {self.min_mean_tags} exceeds max_mean_tags {self.max_mean_tags}")
        if self.max_drift is not None:
            _require_shares(max_drift=self.max_drift)


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalBounds:
    """Bounds on what the cleaning took away."""

    min_share: float
    max_share: float

    def __post_init__(self) -> None:
        _require_shares(min_share=self.min_share, max_share=self.max_share)
        if self.min_share > self.max_share:
            raise ValueError(f"min_share {self.min_share} exceeds max_share {self.max_share}")


def _require_shares(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")


def table_name(schema: pa.Schema) -> str:
    """Which checked table has this schema; `ValueError` where none has."""
    for name in CHECKED_TABLES:
        if CATALOG[name].schema == schema:
            return name
    raise ValueError(f"no checked table has the columns {schema.names}; checked are {', '.join(CHECKED_TABLES)}")


def schema_rules(schema: pa.Schema) -> list[Rule]:
    """Rules that follow from the Arrow schema: columns and types, nulls, value sets, fractions, boxes."""
    rules = [
        Rule(
            name="columns_and_types",
            description="The table has the columns and types of the catalog",
            frame="columns",
            expectation="ExpectColumnPairValuesToBeEqual",
            arguments={"column_A": "expected_type", "column_B": "observed_type"},
        )
    ]
    for column in schema:
        name = column.name
        if not column.nullable:
            rules.append(_rows(f"{name}_present", f"Every row has a value of {name}", "ToNotBeNull", column=name))
        if name in _VALUE_SETS:
            values = list(_VALUE_SETS[name])
            sentence = f"{name} is one of {', '.join(values)}"
            rules.append(_rows(f"{name}_known", sentence, "ToBeInSet", column=name, value_set=values))
        if name in _FRACTIONS:
            sentence = f"{name} lies between 0 and 1"
            rules.append(_rows(f"{name}_range", sentence, "ToBeBetween", column=name, min_value=0, max_value=1))
    if "x0" in schema.names:
        rules += [_ordered(f"{axis}0", f"{axis}1") for axis in ("x", "y")]
    return rules


def pair_rules(bounds: PairBounds) -> list[Rule]:
    """Rules of the data of table pairs."""
    return [
        _image_known(),
        _rows(
            "split_of_image",
            "A caption has the split of its image",
            "ToBeInSet",
            column="split_agrees",
            value_set=[True],
        ),
        _rows(
            "caption_not_empty",
            "A caption has at least one letter or digit",
            "ToMatchRegex",
            column="caption",
            regex=r"\w",
        ),
        _rows("caption_index_range", "caption_index counts from 0", "ToBeBetween", column="caption_index", min_value=0),
        _total("num_rows", "enough_rows", f"There are at least {bounds.min_rows:,} rows", min_value=bounds.min_rows),
        _total("num_repeated_rows", "pairs_unique", "No (image_id, caption_index) stands there twice", max_value=0),
        _total(
            "share_refused",
            "share_refused",
            f"At most {bounds.max_share_refused:.1%} of what was read is in quarantine",
            max_value=bounds.max_share_refused,
        ),
        _total(
            "max_captions",
            "captions_per_image",
            f"No image has more than {bounds.max_captions:,} captions",
            max_value=bounds.max_captions,
        ),
        _total(
            "share_of_one_caption",
            "no_boilerplate_caption",
            f"No caption makes up more than {bounds.max_share_of_one_caption:.0%} of the rows",
            max_value=bounds.max_share_of_one_caption,
        ),
    ]


def tag_rules(bounds: TagBounds, num_tags: int, *, has_reference: bool) -> list[Rule]:
    """Rules of the data of a table of tags; the one on drift only with a good run to compare with."""
    rules = [
        _image_known(),
        _rows(
            "tag_known",
            f"tag_id is one of the label system's {num_tags:,} (0 to {num_tags - 1})",
            "ToBeBetween",
            column="tag_id",
            min_value=0,
            max_value=num_tags - 1,
        ),
        _total("num_rows", "enough_rows", f"There are at least {bounds.min_rows:,} rows", min_value=bounds.min_rows),
        _total("num_repeated_rows", "rows_unique", "No (image_id, tag_id) stands there twice", max_value=0),
        _total(
            "mean_tags",
            "mean_tags_per_image",
            f"An image has {bounds.min_mean_tags:g} to {bounds.max_mean_tags:g} tags on average",
            min_value=bounds.min_mean_tags,
            max_value=bounds.max_mean_tags,
        ),
        _total("max_tags", "tags_per_image", f"No image has over {bounds.max_tags} tags", max_value=bounds.max_tags),
        _total(
            "share_without_tags",
            "images_without_tags",
            f"At most {bounds.max_share_without_tags:.0%} of the train images have no tag",
            max_value=bounds.max_share_without_tags,
        ),
        _total(
            "share_of_one_tag",
            "no_tag_everywhere",
            f"No tag is on more than {bounds.max_share_of_one_tag:.0%} of the train images",
            max_value=bounds.max_share_of_one_tag,
        ),
    ]  # fmt: skip
    if has_reference and bounds.max_drift is not None:
        sentence = f"The tags are distributed as in the last good run, within {bounds.max_drift:g} bits"
        rules.append(_total("drift", "tag_drift", sentence, max_value=bounds.max_drift))
    return rules


def removal_rules(bounds: RemovalBounds) -> list[Rule]:
    """Rules on kept and removed rows."""
    kept = _rows("kept_has_no_reason", "A kept row has no reason", "ToBeNull", column="reason")
    removed = _rows("removed_has_reason", "A removed row has a reason", "ToNotBeNull", column="reason")
    human = _rows("human_kept", "A row that a human made is kept", "ToBeInSet", column="kept", value_set=[True])
    return [
        replace(kept, where=("kept", True)),
        replace(removed, where=("kept", False)),
        replace(human, where=("origin", "human")),
        _total(
            "share_removed",
            "share_removed",
            f"The cleaning removes {bounds.min_share:.0%} to {bounds.max_share:.0%} of the rows",
            min_value=bounds.min_share,
            max_value=bounds.max_share,
        ),
    ]


def soften(rules: Sequence[Rule], warn_only: Sequence[str]) -> list[Rule]:
    """`rules`, those named in `warn_only` as warnings: reported, but the table passes."""
    return [replace(rule, severity="warning") if rule.name in warn_only else rule for rule in rules]


def _rule(frame: Frame, name: str, description: str, expectation: str, arguments: dict[str, Any]) -> Rule:
    return Rule(name=name, description=description, frame=frame, expectation=expectation, arguments=arguments)


def _rows(name: str, description: str, expectation: str, **arguments: Any) -> Rule:
    return _rule("rows", name, description, f"ExpectColumnValues{expectation}", arguments)


def _total(column: str, name: str, description: str, **limits: float) -> Rule:
    return _rule("totals", name, description, "ExpectColumnValuesToBeBetween", {"column": column, **limits})


def _image_known() -> Rule:
    sentence = "image_id is in the table images"
    return _rows("image_known", sentence, "ToBeInSet", column="image_known", value_set=[True])


def _ordered(low: str, high: str) -> Rule:
    arguments = {"column_A": high, "column_B": low, "or_equal": True, "ignore_row_if": "either_value_is_missing"}
    sentence = f"{low} does not exceed {high}"
    return _rule("rows", f"{low}_before_{high}", sentence, "ExpectColumnPairValuesAToBeGreaterThanB", arguments)
