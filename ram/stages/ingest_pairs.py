"""raw sources -> images, pairs, labels, benchmarks, image shards, quarantine.

Two passes. The first reads every chunk of every source once and examines its images; the second, which knows all
their hashes, leaves out what is there twice and writes the shards. Both go on where a killed run was, and neither holds
images: some hundred bytes of keys and hashes an image are in memory between them.

Every image that was read is either a row of images or of quarantine; a caption that is left out has a row there too
(`ram.datasets.staging.CAPTION_REASONS`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ram.datasets import Benchmark, Source, make_sources
from ram.datasets.duplicates import MAX_DISTANCE
from ram.datasets.image_info import ImageLimits
from ram.datasets.selection import Repeat, Repeats, cut_shards, find_repeats, read_candidates
from ram.datasets.shards import WriteShard
from ram.datasets.source import expand
from ram.datasets.staging import CAPTION_REASONS, REFUSED, Spool, SpoolItem, SpoolWriter
from ram.io.progress import track
from ram.io.remote import RemotePath
from ram.io.tables import MappedTable, PartMap
from ram.pipeline.executors import Engine

CHUNKS_PER_PART = 500  # of the quarantine


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    limits: ImageLimits
    max_hash_distance: int | None  # bits, 0 … 10, by which near duplicates differ at most; null: only exact ones count
    images_per_shard: int

    def __post_init__(self) -> None:
        if self.max_hash_distance is not None and not 0 <= self.max_hash_distance <= MAX_DISTANCE:
            raise ValueError(f"max_hash_distance must be 0 to {MAX_DISTANCE}, or null, got {self.max_hash_distance}")
        if self.images_per_shard < 1:
            raise ValueError(f"images_per_shard must be at least 1, got {self.images_per_shard}")


class Inputs(NamedTuple):
    sources: dict[str, Any]
    scratch: Path
    engine: Engine


class Outputs(NamedTuple):
    images: MappedTable
    pairs: MappedTable
    labels: MappedTable
    benchmarks: dict[str, Any]
    image_shards: Path
    quarantine: MappedTable


def run(inputs: Inputs, params: Params) -> Outputs:
    """Raises `ValueError` where a source changed since it was listed, or no image at all could be accepted."""
    sources = make_sources([entry["description"] for entry in inputs.sources["sources"]])
    benchmarks = merge_benchmarks(sources)
    spool = Spool(inputs.scratch / "spool")
    num_chunks = _read(sources, inputs, spool, params.limits)
    candidates = read_candidates(spool, num_chunks)
    repeats = find_repeats(candidates, params.max_hash_distance)
    _tell(spool, num_chunks, len(candidates), repeats)
    shards_dir = inputs.scratch / "image_shards"
    shards_dir.mkdir(exist_ok=True)
    benchmark_of = {source: name for name, entry in benchmarks.items() for source in entry["sources"]}
    shards = cut_shards(candidates, repeats, params.images_per_shard)
    written = PartMap(WriteShard(spool, shards_dir, benchmark_of), shards, "write shards")
    batches = [range(i, min(i + CHUNKS_PER_PART, num_chunks)) for i in range(0, num_chunks, CHUNKS_PER_PART)]
    refused = PartMap(Quarantine(spool), [{i: repeats.get(i, []) for i in batch} for batch in batches], "quarantine")
    return Outputs(
        images=written.output(0),
        pairs=written.output(1),
        labels=written.output(2),
        benchmarks=benchmarks,
        image_shards=shards_dir,
        quarantine=refused.output(),
    )


def _read(sources: Sequence[Source], inputs: Inputs, spool: Spool, limits: ImageLimits) -> int:
    """Read what was not read yet into the spool; the number of chunks there are."""
    spool.directory.mkdir(parents=True, exist_ok=True)
    items: list[SpoolItem] = []
    for source, entry in zip(sources, inputs.sources["sources"], strict=True):
        _require_unchanged(entry["files"])
        for chunk in source.chunks([file["path"] for file in entry["files"]]):
            items.append(SpoolItem(len(items), source, chunk))
    todo = [item for item in items if not spool.has(item.number)]
    results = inputs.engine.map(SpoolWriter(spool, limits), todo)
    for _ in track(results, "read sources", len(todo), "chunk"):
        pass
    return len(items)


def _require_unchanged(files: Sequence[Mapping[str, Any]]) -> None:
    for file in files:
        path = expand(file["path"])
        if isinstance(path, RemotePath):
            same = path.is_file() and path.version_hash() == file["hash"]
        else:
            same = path.is_file() and path.stat().st_size == file["num_bytes"]
        if not same:
            raise ValueError(f"{path} is not the file that was listed; run list_sources again")


def _tell(spool: Spool, num_chunks: int, num_candidates: int, repeats: Repeats) -> None:
    """Print what is accepted and what refused, by reason; `ValueError` where nothing is accepted."""
    reasons = Counter(repeat.reason for left_out in repeats.values() for repeat in left_out)
    num_accepted = num_candidates - reasons.total()
    for chunk in range(num_chunks):
        reasons.update(spool.refused(chunk)["reason"].to_pylist())
    refused = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "nothing"
    if num_accepted == 0:
        raise ValueError(f"no image could be accepted (refused: {refused}); mend the sources or ingest_pairs.limits")
    print(f"ingest_pairs: {num_accepted} images accepted; refused: {refused}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Quarantine:
    """The rows of the quarantine that come from some chunks. Picklable."""

    spool: Spool

    def __call__(self, repeats: Repeats) -> pa.Table:
        return pa.concat_tables([self._rows(chunk, left_out) for chunk, left_out in repeats.items()])

    def _rows(self, chunk: int, left_out: list[Repeat]) -> pa.Table:
        refused = self.spool.refused(chunk)
        if not left_out:
            return refused
        records = self.spool.records(chunk, ["source", "key"]).take([repeat.row for repeat in left_out]).to_pylist()
        rows = [
            record | {"reason": repeat.reason, "detail": f"{repeat.image_id} stays"}
            for record, repeat in zip(records, left_out, strict=True)
        ]
        left_out_ids = {(row["source"], row["key"]) for row in rows if row["reason"] != "duplicate_key"}
        kept = [row for row in refused.to_pylist() if not _is_moot(row, left_out_ids)]
        return pa.Table.from_pylist(kept + rows, schema=REFUSED)


def _is_moot(row: Mapping[str, str], left_out_ids: set[tuple[str, str]]) -> bool:
    """Whether a row speaks of a caption of an image that is itself left out."""
    return row["reason"] in CAPTION_REASONS and (row["source"], row["key"]) in left_out_ids


def merge_benchmarks(sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """`{benchmark: {sources, names, unseen, description}}`; `ValueError` where its sources have different names."""
    merged: dict[str, tuple[Benchmark, list[str]]] = {}
    for source in sources:
        benchmark = source.benchmark()
        if benchmark is None:
            continue
        known, names = merged.setdefault(benchmark.name, (benchmark, []))
        if (known.names, known.unseen) != (benchmark.names, benchmark.unseen):
            raise ValueError(
                f"sources {', '.join([*names, source.name])} of benchmark {benchmark.name} differ in their names or "
                f"unseen names; give each its own benchmark_name"
            )
        names.append(source.name)
    return {
        name: {
            "sources": names,
            "names": list(benchmark.names),
            "unseen": list(benchmark.unseen),
            "description": benchmark.description,
        }
        for name, (benchmark, names) in merged.items()
    }
