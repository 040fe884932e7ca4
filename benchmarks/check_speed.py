"""CPU time and memory of checking a table of tags, of 10 million rows and of more.

python -m benchmarks.check_speed [--rows 10000000 100000000] [--table cleaned_tags] [--workspace DIR]

The tables are made up: an image has ten tags (the paper's cleaned set: 39.8 M tags on 4 M images), drawn by Zipf's
law from 4,585, and every row is as the rules want it. Each line of the result is a process of its own that runs the stage
`check_tables` with all its rules and writes its Data Docs: "CPU" is user and system time of the whole process from its
start, "peak" is the most memory it ever had; "imports alone" is a process that only loads the libraries. `--images` holds
the number of images fixed, which shows what memory does with the rows alone. Linux and macOS alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ram.io.tables import Table, write_part
from ram.pipeline.catalog import CATALOG, ORIGINS, REASONS

NUM_TAGS, TAGS_PER_IMAGE, ROWS_PER_PART = 4585, 10, 1_000_000


def _image_ids(start: int, stop: int) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(np.arange(start, stop)).cast(pa.string()), 9, "0")
    return pc.binary_join_element_wise(pa.scalar("made/"), digits, "")


def write_images(directory: Path, num_images: int) -> None:
    """The table images of so many images, one in fifty of split test."""
    schema = CATALOG["images"].schema
    assert schema is not None
    for index, start in enumerate(range(0, num_images, ROWS_PER_PART)):
        stop = min(start + ROWS_PER_PART, num_images)
        columns = {name: pa.array(np.zeros(stop - start, np.int64)).cast(pa.string()) for name in schema.names}
        columns |= {
            name: pa.array(np.ones(stop - start, np.int32)) for name in ("width", "height", "offset", "num_bytes")
        }
        columns["image_id"] = _image_ids(start, stop)
        columns["split"] = pa.array(np.where(np.arange(start, stop) % 50 == 49, "test", "train"))
        write_part(pa.table(columns), directory, index, schema)


def write_tags(directory: Path, table: str, num_rows: int, num_images: int, seed: int = 0) -> None:
    """A table of tags that keeps every rule: the tags of an image stand together and differ."""
    schema = CATALOG[table].schema
    assert schema is not None
    generator = np.random.default_rng(seed)
    shares = 1 / np.arange(1, NUM_TAGS + 1)
    order = generator.permutation(NUM_TAGS)
    per_image = num_rows // num_images
    images_per_part = max(ROWS_PER_PART // per_image, 1)
    for index, start in enumerate(range(0, num_images, images_per_part)):
        stop = min(start + images_per_part, num_images)
        first = generator.choice(NUM_TAGS, stop - start, p=shares / shares.sum())
        # Steps that add up to less than the number of tags: no tag comes twice to an image.
        steps = generator.integers(1, NUM_TAGS // per_image, (stop - start, per_image))
        steps[:, 0] = 0
        tag_ids = order[(first[:, None] + steps.cumsum(axis=1)) % NUM_TAGS].ravel()
        ids = _image_ids(start, stop).take(pa.array(np.repeat(np.arange(stop - start), per_image)))
        write_part(_rows(schema, ids, tag_ids, generator), directory, index, schema)


def _rows(schema: pa.Schema, image_ids: pa.Array, tag_ids: np.ndarray, generator: np.random.Generator) -> pa.Table:
    num = len(tag_ids)
    kept = generator.random(num) < 0.95
    columns: dict[str, pa.Array] = {}
    for column in schema:
        if pa.types.is_floating(column.type):
            low = 0.5 if column.name in ("x1", "y1") else 0.0
            columns[column.name] = pa.array((low + 0.5 * generator.integers(0, 1000, num) / 1000).astype(np.float32))
        elif pa.types.is_list(column.type):
            columns[column.name] = pa.array([[0]], column.type).take(pa.array(np.zeros(num, np.int64)))
        else:
            columns[column.name] = pa.array(["made"]).take(pa.array(np.zeros(num, np.int64)))
    columns |= {"image_id": image_ids, "tag_id": pa.array(tag_ids.astype(np.int32))}
    columns["origin"] = pa.array(ORIGINS[:3]).take(pa.array(generator.integers(0, 3, num)))
    if "kept" in schema.names:
        columns["kept"] = pa.array(kept)
        reasons = pa.array(REASONS[:2]).take(pa.array(generator.integers(0, 2, num)))
        columns["reason"] = pc.if_else(pa.array(kept), pa.scalar(None, pa.string()), reasons)
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def check(workspace: str, table: str) -> dict[str, float]:
    """Run the stage on a table that is there; CPU seconds of this process so far, and its peak of memory in MiB."""
    import ram.pipeline.runner  # what a stage's process loads  # noqa: F401
    from ram.labels import LabelSystem, Tag
    from ram.stages.check_tables import Inputs, Params, run
    from ram.validation.suites import PairBounds, RemovalBounds, TagBounds

    if table == "":
        import great_expectations  # noqa: F401

        return _used()
    bounds = TagBounds(
        min_rows=1, min_mean_tags=1, max_mean_tags=1000, max_tags=1000, max_share_without_tags=0.5,
        max_share_of_one_tag=0.9, max_drift=0.1,
    )  # fmt: skip
    pairs = PairBounds(min_rows=1, max_captions=5, max_share_of_one_caption=0.5, max_share_refused=0.2)
    removed = RemovalBounds(min_share=0.0, max_share=0.5)
    params = Params(pairs=pairs, parsed_tags=bounds, generated_tags=bounds, cleaned_tags=bounds, removed=removed)
    root = Path(workspace)
    labels = LabelSystem([Tag(tag_id=i, name=f"tag {i}") for i in range(NUM_TAGS)])
    for folder in ("state", "scratch"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
    inputs = Inputs(
        table=Table(root / table, CATALOG[table].schema),
        images=Table(root / "images", CATALOG["images"].schema),
        label_system=labels.to_json(), quarantine=None, state=root / "state", scratch=root / "scratch",
    )  # fmt: skip
    report = run(inputs, params).report
    assert report["passed"], report["failures"]
    return _used() | {"rules": len(report["expectations"])}


def _used() -> dict[str, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / unit}


def measure(workspace: Path, table: str) -> dict[str, float]:
    """`check` in a process of its own."""
    code = f"import json; from benchmarks.check_speed import check; print(json.dumps(check({str(workspace)!r}, {table!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000_000, 100_000_000])
    parser.add_argument("--table", choices=["parsed_tags", "cleaned_tags"], nargs="+", default=["cleaned_tags"])
    parser.add_argument("--images", type=int, help="the default has one for ten rows")
    parser.add_argument(
        "--workspace", type=Path, help="a folder for the tables, some 30 bytes a row; else a temporary one"
    )
    arguments = parser.parse_args()
    bare = measure(Path(), "")
    print("| table | rows | images | rules | CPU, s | peak, MiB |\n|---|---|---|---|---|---|", flush=True)
    print(f"| imports alone | 0 | 0 | 0 | {bare['cpu_s']:.1f} | {bare['peak_mib']:,.0f} |", flush=True)
    for table in arguments.table:
        for num_rows in arguments.rows:
            with tempfile.TemporaryDirectory(dir=arguments.workspace) as folder:
                num_images = arguments.images or max(num_rows // TAGS_PER_IMAGE, 1)
                write_images(Path(folder, "images"), num_images)
                write_tags(Path(folder, table), table, num_rows, num_images)
                found = measure(Path(folder), table)
            size = f"{num_rows:,} | {num_images:,} | {found['rules']}"
            print(f"| {table} | {size} | {found['cpu_s']:.1f} | {found['peak_mib']:,.0f} |", flush=True)
    print(f"\nOne process, {os.cpu_count()} cores in the machine ({platform.machine()}), {platform.system()}")


if __name__ == "__main__":
    main()
