"""caption_phrases, vocabularies, a person's review -> label_system: which phrases become tags, and which are one tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.compute as pc

from ram.captions import noun_kind
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.labels.build import build_label_system, finish, unseen_groups
from ram.labels.coverage import coverage
from ram.labels.forms import normalize
from ram.labels.review import Row, apply_review, kept_phrases, read_review
from ram.labels.select import Group, SelectionParams, find_groups, read_counts, select
from ram.labels.senses import WordNetInContext
from ram.labels.suggest import suggestions
from ram.labels.vocabulary import Vocabulary, listed_names, read_vocabularies
from ram.labels.wordnet import load_wordnet
from ram.pipeline.catalog import KINDS

_NUM_SHOWN = 50  # dropped phrases and missing names that the report names


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    vocabularies: tuple[str, ...]  # files of data/vocabularies; the first that lists a tag gives it its name
    selection: SelectionParams
    merge_synonyms: bool  # false: every phrase is a tag of its own
    review: str | None  # file of data/vocabularies with a person's decisions, which may be absent; null: none
    add_unseen_names: bool  # names of the vocabularies that no caption has become tags too, without training examples

    def __post_init__(self) -> None:
        if len(set(self.vocabularies)) < len(self.vocabularies):
            raise ValueError(f"vocabularies has an entry twice: {', '.join(self.vocabularies)}")


class Inputs(NamedTuple):
    caption_phrases: Table
    vocabularies: Path


class Outputs(NamedTuple):
    label_system: dict[str, Any]
    label_system_report: dict[str, Any]
    label_suggestions: pd.DataFrame


def run(inputs: Inputs, params: Params) -> Outputs:
    """The label system as JSON, and how it came about; `ValueError` where no phrase of split train becomes a tag."""
    vocabularies = read_vocabularies(inputs.vocabularies, params.vocabularies)
    wordnet = WordNetInContext(load_wordnet(), vocabularies)
    counts = count_phrases(inputs.caption_phrases)
    rows = read_review(inputs.vocabularies / params.review) if params.review else []
    known = {phrase for phrase, _ in counts} | listed_names(vocabularies.values())
    known |= {normalize(row.tag) for row in rows if wordnet.knows(normalize(row.tag))}
    readings, acts, minor = read_counts(counts, wordnet, params.selection.min_reading_share)
    groups = find_groups(readings, acts, vocabularies, wordnet, merge_synonyms=params.merge_synonyms)
    kept, dropped = select(groups, wordnet, params.selection, kept_phrases(rows, known))
    if params.add_unseen_names:
        kept += unseen_groups(kept, vocabularies, wordnet, noun_kind)
    if not kept:
        raise ValueError(
            f"none of the {len(counts)} phrases of split train became a tag; lower min_frequency of "
            "build_label_system.selection, or add captions"
        )
    label_system = build_label_system(kept, counts, vocabularies, wordnet, merge_synonyms=params.merge_synonyms)
    tags, idle = apply_review(label_system.tags, rows, known)
    if any(row.decision == "accept" for row in rows):
        label_system = finish(tags, counts, wordnet)
    report = _report(label_system, counts, dropped, minor, read_vocabularies(inputs.vocabularies))
    return Outputs(
        label_system=label_system.to_json(),
        label_system_report=report | {"review": _review_report(rows, idle)},
        label_suggestions=suggestions(label_system, dropped, vocabularies, wordnet),
    )


def _review_report(rows: Sequence[Row], idle: Sequence[Row]) -> dict[str, Any]:
    decisions = Counter(row.decision or "undecided" for row in rows)
    return {
        "num_accepted": decisions["accept"],
        "num_rejected": decisions["reject"],
        "num_undecided": decisions["undecided"],
        "without_effect": [f"{row.where}: {row}" for row in idle],
    }


def count_phrases(caption_phrases: Table) -> Counter[tuple[str, str]]:
    """(phrase, kind) -> captions of split train that have it."""
    counts: Counter[tuple[str, str]] = Counter()
    for batch in caption_phrases.batches(columns=["split", "phrase", "kind"]):
        train = batch.filter(pc.equal(batch.column("split"), "train"))
        counts.update(zip(train.column("phrase").to_pylist(), train.column("kind").to_pylist(), strict=True))
    return counts


def _report(
    label_system: LabelSystem,
    counts: Mapping[tuple[str, str], int],
    dropped: Mapping[str, list[Group]],
    minor: Counter[str],
    vocabularies: Mapping[str, Vocabulary],
) -> dict[str, Any]:
    reasons: dict[str, Counter[str]] = {reason: Counter() for reason in dropped}
    for reason, groups in dropped.items():
        for group in groups:
            reasons[reason][group.phrases[0]] += group.frequency
    reasons["minor_reading"] = minor
    return {
        "version": label_system.version,
        "num_tags": len(label_system),
        "num_tags_by_kind": {kind: sum(tag.kind == kind for tag in label_system) for kind in KINDS},
        "num_tags_by_source": dict(Counter(source for tag in label_system for source in tag.sources)),
        "num_synonyms": sum(len(tag.synonyms) for tag in label_system),
        "num_phrases": len(counts),
        "num_mentions": sum(counts.values()),
        "num_mentions_tagged": sum(tag.frequency for tag in label_system),
        "top_tags": {kind: _top_tags(label_system, kind) for kind in KINDS},
        "coverage": {
            name: coverage(label_system, vocabulary, counts, _NUM_SHOWN) for name, vocabulary in vocabularies.items()
        },
        "dropped": {
            reason: {
                "num_phrases": len(phrases),
                "num_mentions": phrases.total(),
                "top": [list(pair) for pair in phrases.most_common(_NUM_SHOWN)],
            }
            for reason, phrases in reasons.items()
        },
    }


def _top_tags(label_system: LabelSystem, kind: str) -> list[list[Any]]:
    tags = sorted((tag for tag in label_system if tag.kind == kind), key=lambda tag: -tag.frequency)
    return [[tag.name, tag.frequency] for tag in tags[:_NUM_SHOWN]]
