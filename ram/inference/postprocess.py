"""Scores of one image -> the tags that are said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ram.inference.heatmaps import Place
from ram.inference.hierarchy import Hierarchy, TagHierarchy, apply
from ram.inference.results import NEW_KIND, TagScore
from ram.inference.runtimes.decoder import PreparedTags
from ram.inference.tag_query import Wanted
from ram.inference.thresholds import Thresholds

# K tags


@dataclass(frozen=True)
class Query:
    """What one call asks of every image."""

    wanted: Wanted
    prepared: PreparedTags  # the same tags, for the model
    limits_K: np.ndarray
    top_k: int | None
    hierarchy: Hierarchy
    relevance: str | None  # None: no evidence is asked for
    captions: bool


@dataclass(frozen=True)
class Chosen:
    """The tags that one image gets, the highest score first: their places among those wanted.

    `sources`: the id of the found tag that each follows from; None: it is found itself.
    """

    rows: np.ndarray
    scores: list[float]
    sources: list[int | None]


def choose(scores_K: np.ndarray, query: Query, hierarchy: TagHierarchy) -> Chosen:
    """What reaches its threshold, less or more by the hierarchy; equal scores in the order of the tags.

    A score that is not a number is of a tag that was not decoded: it is not found, and adds nothing to what implies it.
    """
    rows = np.flatnonzero(scores_K >= query.limits_K)
    scores = scores_K[rows].astype(np.float64)
    sources: list[int | None] = [None] * len(rows)
    if query.hierarchy != "all":
        said = sorted(_by_hierarchy(scores_K, rows, query, hierarchy))
        rows = np.array([k for k, _, _ in said], dtype=np.int64)
        scores = np.array([score for _, score, _ in said])
        sources = [source for _, _, source in said]
    order = np.argsort(-scores, kind="stable")[: query.top_k]
    return Chosen(rows[order], scores[order].tolist(), [sources[i] for i in order])


def _by_hierarchy(
    scores_K: np.ndarray, rows: np.ndarray, query: Query, hierarchy: TagHierarchy
) -> Iterator[tuple[int, float, int | None]]:
    """Place, score and source of every tag that is said; new tags follow from none and imply none."""
    tags = query.wanted.tags
    place = {tag.tag_id: k for k, tag in enumerate(tags) if tag is not None}
    score = {tag_id: float(np.nan_to_num(scores_K[k])) for tag_id, k in place.items()}
    found = {tag.tag_id: score[tag.tag_id] for k in rows if (tag := tags[k]) is not None}
    for tag_id, (value, source) in apply(query.hierarchy, hierarchy, found, score).items():
        yield place[tag_id], value, source
    yield from ((int(k), float(scores_K[k]), None) for k in rows if tags[k] is None)


def tag_scores(chosen: Chosen, found: list[Place], query: Query, thresholds: Thresholds) -> Iterator[TagScore]:
    """The chosen tags in words; `found` has the place of each, or is empty."""
    implied = any(source is not None for source in chosen.sources)
    name_of = {tag.tag_id: tag.name for tag in query.wanted.tags if tag is not None} if implied else {}
    for i, (k, score, source) in enumerate(zip(chosen.rows, chosen.scores, chosen.sources, strict=True)):
        tag = query.wanted.tags[k]
        map_HW, box = found[i] if found else (None, None)
        yield TagScore(
            tag_id=tag.tag_id if tag else None,
            name=query.wanted.names[k],
            score=score,
            threshold=float(query.limits_K[k]),
            kind=tag.kind if tag else NEW_KIND,
            tag=tag.name if tag else None,
            probability=thresholds.probability(tag, score),
            implied_by=None if source is None else name_of[source],
            box=box,
            map=map_HW,
        )
