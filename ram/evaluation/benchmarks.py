"""Benchmarks: images whose labels are complete over a list of names, and what a model says about those names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ram.io.progress import track
from ram.io.tables import Table
from ram.labels import LabelSystem, Tag

# N images, K names, M rows of embeddings, E text embedding width


@dataclass(frozen=True)
class Benchmark:
    """The images of one split, and which of the names each shows: positive_NK, bool, complete."""

    name: str
    names: list[str]
    unseen: frozenset[str]  # names that must not be trained on
    image_ids: list[str]
    positive_NK: np.ndarray


def load_benchmarks(
    benchmarks: Mapping[str, Mapping[str, Any]], images: Table, labels: Table, split: str
) -> list[Benchmark]:
    """The benchmarks with images in `split`, by name. `ValueError` for a label that its benchmark does not list."""
    split_images = images.to_pandas(["image_id", "source", "split"])
    split_images = split_images[split_images["split"] == split]
    rows = labels.to_pandas(["image_id", "benchmark", "name"])
    found = []
    for name, facts in sorted(benchmarks.items()):
        names = list(facts["names"])
        image_ids = split_images["image_id"][split_images["source"].isin(list(facts["sources"]))].tolist()
        own = rows[rows["benchmark"] == name]
        if unlisted := sorted(set(own["name"]) - set(names)):
            raise ValueError(f"benchmark {name} has labels it does not list: {', '.join(unlisted[:5])}; mend its names")
        if image_ids and names:
            positive_NK = _positives(own, image_ids, names)
            found.append(Benchmark(name, names, frozenset(facts.get("unseen", ())), image_ids, positive_NK))
    return found


def _positives(rows: pd.DataFrame, image_ids: Sequence[str], names: Sequence[str]) -> np.ndarray:
    row_of = pd.Index(image_ids).get_indexer(pd.Index(rows["image_id"]))
    column_of = pd.Index(names).get_indexer(pd.Index(rows["name"]))
    positive_NK = np.zeros((len(image_ids), len(names)), dtype=bool)
    positive_NK[row_of[row_of >= 0], column_of[row_of >= 0]] = True
    return positive_NK


@dataclass(frozen=True)
class Match:
    """What a name of a benchmark is to a model: a tag of its own, by name or synonym, or only a text."""

    name: str
    tag: Tag | None
    children: tuple[Tag, ...]  # the tags that have it among their parents

    @property
    def how(self) -> str:
        """ "name", "synonym" or "text"."""
        if self.tag is None:
            return "text"
        return "name" if " ".join(self.name.lower().split()) == self.tag.name else "synonym"


def match_names(names: Sequence[str], label_system: LabelSystem) -> list[Match]:
    """One match a name, in order."""
    children: dict[str, list[Tag]] = {}
    for tag in label_system.tags:
        for parent in tag.parents:
            children.setdefault(parent, []).append(tag)
    tags = [label_system.find(name) for name in names]
    return [
        Match(name, tag, tuple(children.get(tag.name, ())) if tag else ())
        for name, tag in zip(names, tags, strict=True)
    ]


class ScoresNames(Protocol):
    """What is needed of `ram.inference.Scorer`."""

    def scores(
        self, image_ids: Sequence[str], embedding_KE: Any = None, batch_size: int = 32
    ) -> Iterable[tuple[list[str], np.ndarray]]: ...


def score_names(
    scorer: ScoresNames,
    image_ids: Sequence[str],
    matches: Sequence[Match],
    own_embedding_KE: np.ndarray,
    embed: Callable[[Sequence[str]], np.ndarray],
    batch_size: int,
    description: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K) of the names, and the highest of each name and its children; float32 in 0 … 1.

    Tags never interact in the tag decoder, so only the rows wanted are scored: a name that is a tag by the model's own
    embedding, any other by that of the text encoder (`embed`).
    """
    texts = [match.name for match in matches if match.tag is None]
    wanted = {tag.tag_id for m in matches for tag in (m.tag, *m.children) if tag is not None}
    rows, row_of = embedding_rows(texts, sorted(wanted), own_embedding_KE, embed)
    columns = [row_of[m.name if m.tag is None else m.tag.tag_id] for m in matches]
    with_children = [
        [column, *(row_of[c.tag_id] for c in m.children)] for column, m in zip(columns, matches, strict=True)
    ]
    own_NK = np.empty((len(image_ids), len(matches)), dtype=np.float32)
    best_NK = np.empty_like(own_NK)
    done = 0
    batches = scorer.scores(image_ids, rows, batch_size=batch_size)
    for ids, scores_BM in track(batches, description, -(-len(image_ids) // batch_size), "batch"):
        assert list(ids) == list(image_ids[done : done + len(ids)])
        own_NK[done : done + len(ids)] = scores_BM[:, columns]
        for k, group in enumerate(with_children):
            best_NK[done : done + len(ids), k] = scores_BM[:, group].max(axis=1)
        done += len(ids)
    assert done == len(image_ids)
    return own_NK, best_NK


def embedding_rows(
    texts: Sequence[str],
    tag_ids: Sequence[int],
    own_embedding_KE: np.ndarray,
    embed: Callable[[Sequence[str]], np.ndarray],
) -> tuple[np.ndarray, dict[int | str, int]]:
    """Text embeddings, float32, of texts and then of a model's own tags, and the row of each text and tag id."""
    rows: list[np.ndarray] = []
    row_of: dict[int | str, int] = {}
    if texts:
        for text, row in zip(texts, embed(texts), strict=True):
            row_of[text] = len(rows)
            rows.append(row)
    for tag_id in tag_ids:
        row_of[tag_id] = len(rows)
        rows.append(own_embedding_KE[tag_id])
    return np.stack(rows).astype(np.float32), row_of


def tags_with_positives(tag_tables: Iterable[pd.DataFrame], train_ids: Collection[str]) -> set[int]:
    """The tag ids of rows (image_id, tag_id) on the images of split train."""
    train = pd.Index(list(train_ids))
    found: set[int] = set()
    for rows in tag_tables:
        found.update(rows["tag_id"][rows["image_id"].isin(train)].unique().tolist())
    return found


def describe_matches(matches: Sequence[Match], uses_children: Sequence[bool]) -> dict[str, Any]:
    """Which names were scored how: {"synonym": {name: tag}, "text": [names], "children": {name: [tags]}}."""
    return {
        "synonym": {m.name: m.tag.name for m in matches if m.tag is not None and m.how == "synonym"},
        "text": [m.name for m in matches if m.tag is None],
        "children": {
            m.name: [c.name for c in m.children]
            for m, used in zip(matches, uses_children, strict=True)
            if used and m.children
        },
    }
