"""Runs one stage: reads what it takes, calls it, and puts what it gives into place when all of it is whole.

A stage is a module of `ram.stages` with `Params`, `Inputs`, `Outputs` and `run(inputs, params) -> outputs`. The fields of
`Inputs` and `Outputs` are names of the catalog, but for these, which the runner provides:

- `scratch: Path`, a folder of the stage's own that a killed run leaves behind and the same run finds again;
- `state: Path`, a folder of the stage's own that outlives its runs;
- `engine: Engine`, where batches run.

A stage that runs several times over different artifacts has `ITEMS: dict[item, dict[field, artifact name or None]]` and is
called `stage@item`, as DVC calls it; a field mapped to None is given as None.

A stage that reads only some parameters of a shared section of params.yaml names them in
`SHARED_PARAMS: dict[section, parameters]`. A change of the other parameters does not run it again.

A stage that several processes run together (`accelerate launch`, `torchrun`) says `SHARED_BY_PROCESSES = True`; any other is
run by the first process alone. The first alone writes outputs, puts them into place and clears the folder of work in progress.

An input called `*_check` is the report on a table: a stage that has one does not start on a failed report, unless it says
`READS_FAILED_CHECKS = True`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa

from ram.io import tables as storage
from ram.io.disk_errors import disk_explained
from ram.io.locks import exclusive
from ram.io.progress import track
from ram.io.tables import MappedTable, PartMap
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import Artifact, Format, artifact
from ram.pipeline.executors import Engine, EngineParams, Lazy, make_engine
from ram.pipeline.params import from_mapping, load_yaml, stage_params
from ram.pipeline.part_cache import KeptParts
from ram.pipeline.resources import ResourceSampler, resources_path, small_outputs

PROVIDED = ("scratch", "state", "engine")
PARTIAL_DIR = Path("data", ".partial")
STATE_DIR = Path("data", ".state")


@dataclasses.dataclass(frozen=True)
class StageCall:
    """A stage and the item it is called for; `name` is what DVC calls it."""

    module: ModuleType
    stage: str
    item: str | None

    @property
    def name(self) -> str:
        return self.stage if self.item is None else f"{self.stage}@{self.item}"

    def inputs(self) -> dict[str, Artifact]:
        """The artifacts that the stage reads, by field of `Inputs`; fields that its item leaves out are not in it."""
        return self._artifacts([f for f in self.module.Inputs._fields if f not in PROVIDED])

    def outputs(self) -> dict[str, Artifact]:
        """The artifacts that the stage writes, by field of `Outputs`."""
        return self._artifacts(self.module.Outputs._fields)

    def _artifacts(self, fields: Iterable[str]) -> dict[str, Artifact]:
        renamed = self.module.ITEMS[self.item] if self.item else {}
        names = {field: renamed.get(field, field) for field in fields}
        return {field: artifact(name) for field, name in names.items() if name is not None}


def run_call(call: StageCall, params_path: Path = Path("params.yaml"), workspace: Path = Path()) -> None:
    """Run a stage in `workspace` and put its outputs into place. A run that fails changes nothing."""
    if _rank() > 0 and not getattr(call.module, "SHARED_BY_PROCESSES", False):
        return
    lock = workspace / PARTIAL_DIR / f"{call.name}.lock"
    with nullcontext() if _rank() else exclusive(lock, lambda: _tell(call)), disk_explained(workspace, call.name):
        _run_alone(call, load_yaml(params_path), workspace)


def _run_alone(call: StageCall, sections: Mapping[str, Any], workspace: Path) -> None:
    params = stage_params(sections, call.stage, call.module.Params)
    engine = make_engine(from_mapping(EngineParams, sections.get("engine") or {}, where="engine"))
    scratch = _scratch_dir(call, params, workspace)
    start = time.monotonic()
    if _rank() > 0:
        call.module.run(_read_inputs(call, workspace, scratch, engine), params)
        return
    with ResourceSampler() as sampler:
        outputs = call.module.run(_read_inputs(call, workspace, scratch, engine), params)
        kept = KeptParts(workspace / STATE_DIR / call.name / "parts", dataclasses.asdict(params))
        finished = _write_outputs(call, outputs, scratch, engine, kept)
    for field, path in finished.items():
        if path.is_dir():
            storage.remove_temporaries(path)  # of workers that were killed
        storage.move_into_place(path, workspace / call.outputs()[field].path)
    shutil.rmtree(scratch)
    _write_resources(call, sampler, workspace)
    print(f"{call.name}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def _tell(call: StageCall) -> None:  # its parent was killed, or somebody runs it by hand
    print(f"{call.name}: another process is at it; waiting for it to end", file=sys.stderr, flush=True)


def _write_resources(call: StageCall, sampler: ResourceSampler, workspace: Path) -> None:
    files = small_outputs(workspace / entry.path for entry in call.outputs().values())
    outputs = {path.relative_to(workspace).as_posix(): storage.content_hash(path) for path in files}
    document = {"started": sampler.started, "outputs": outputs, "samples": sampler.samples}
    storage.write_json(document, resources_path(workspace, call.name))


def _read_inputs(call: StageCall, workspace: Path, scratch: Path, engine: Engine) -> Any:
    values: dict[str, Any] = {f: read_artifact(entry, workspace) for f, entry in call.inputs().items()}
    if not getattr(call.module, "READS_FAILED_CHECKS", False):
        for field, value in values.items():
            if field.endswith("_check"):
                _require_passed(call, value)
    wanted = call.module.Inputs._fields
    values |= {field: None for field in wanted if field not in values and field not in PROVIDED}
    if "scratch" in wanted:
        values["scratch"] = scratch / "work"
        values["scratch"].mkdir(parents=True, exist_ok=True)
    if "state" in wanted:
        values["state"] = workspace / STATE_DIR / call.name
        values["state"].mkdir(parents=True, exist_ok=True)
    if "engine" in wanted:
        values["engine"] = engine
    return call.module.Inputs(**values)


def _require_passed(call: StageCall, check: Mapping[str, Any]) -> None:
    if not check["passed"]:
        failures = "\n".join(f"  - {failure}" for failure in check["failures"])
        raise ValueError(
            f"{call.name} does not start: table {check['table']} failed its check:\n{failures}\n"
            f"See data/data_docs/{check['table']}/index.html; mend the data or the bounds in params.yaml (check_tables)."
        )


def _scratch_dir(call: StageCall, params: Any, workspace: Path) -> Path:
    """The folder for work in progress: the same for the same work, so that a killed run goes on where it was."""
    parent = workspace / PARTIAL_DIR / call.name
    scratch = parent / _fingerprint(call, params, workspace)
    if parent.is_dir() and _rank() == 0:
        for stale in parent.iterdir():
            if stale != scratch:
                shutil.rmtree(stale)
        storage.remove_temporaries(parent)
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def _rank() -> int:
    """The number of this process among those that run the stage together; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def _fingerprint(call: StageCall, params: Any, workspace: Path) -> str:
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(params), sort_keys=True, default=str).encode())
    sources = Path(__file__).parents[1]
    for file in sorted(sources.rglob("*.py")):
        digest.update(file.read_bytes())
    for entry in call.inputs().values():
        path = workspace / entry.path
        if entry.format is Format.JSON and path.is_file():  # short, and sometimes written anew with the same content
            digest.update(path.read_bytes())
            continue
        for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
            stat = file.stat()
            digest.update(f"{file.relative_to(workspace)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _write_outputs(call: StageCall, outputs: Any, scratch: Path, engine: Engine, kept: KeptParts) -> dict[str, Path]:
    """Write every output under `scratch`; where each lies there."""
    directory = scratch / "outputs"
    entries = call.outputs()
    mapped = {f: v for f, v in outputs._asdict().items() if isinstance(v, MappedTable)}
    paths = {f: directory / f for f in entries}
    for work in {id(v.work): v.work for v in mapped.values()}.values():
        mine = {f: v.index for f, v in mapped.items() if v.work is work}
        _write_mapped(work, {f: (paths[f], entries[f], index) for f, index in mine.items()}, engine, kept)
    for field, value in outputs._asdict().items():
        if field not in mapped:
            paths[field] = _write_output(entries[field], value, paths[field])
    return paths


def _write_mapped(
    work: PartMap, targets: Mapping[str, tuple[Path, Artifact, int]], engine: Engine, kept: KeptParts
) -> None:
    def files(part: int) -> dict[str, Path]:
        return {f"{field}.parquet": storage.part_path(path, part) for field, (path, _, _) in targets.items()}

    def missing(part: int) -> bool:
        return any(not path.exists() for path in files(part).values())

    for path, entry, _ in targets.values():
        path.mkdir(parents=True, exist_ok=True)
        if not work.items:
            assert entry.schema is not None
            storage.write_table([], path, entry.schema)
    parts = [i for i in range(len(work.items)) if missing(i)]
    if work.keys is not None:
        parts = [i for i in parts if not kept.restore(work.keys[i], files(i))]
        kept.tell(work.description, len(work.items))
    write = _WritePart(work.function, tuple(targets.values()))
    results = engine.map(write, Lazy(lambda part: (part, work.items[part]), parts))
    for _ in track(results, work.description, len(parts), "part"):
        pass
    if work.keys is not None:
        for part, key in enumerate(work.keys):
            kept.keep(key, files(part))
        kept.forget_others(work.keys)


@dataclasses.dataclass(frozen=True)
class _WritePart:
    """Does one item of a `PartMap` and writes its tables, in the worker: only a word of it goes back. Picklable."""

    function: Any
    targets: tuple[tuple[Path, Artifact, int], ...]

    def __call__(self, numbered: tuple[int, Any]) -> None:
        part, item = numbered
        result = self.function(item)
        tables = result if isinstance(result, tuple) else (result,)
        for path, entry, index in self.targets:
            assert entry.schema is not None
            storage.write_part(tables[index], path, part, entry.schema)


def _write_output(entry: Artifact, value: Any, path: Path) -> Path:
    """Write one output that is there in memory, or check one that the stage wrote into its scratch folder."""
    if entry.format is Format.JSON:
        storage.write_json(value, path)
    elif entry.format is Format.CSV:
        path.parent.mkdir(parents=True, exist_ok=True)
        value.to_csv(path, index=False)
    elif isinstance(value, Path):
        assert value.is_dir(), f"{entry.name}: {value} is no folder"
        return value
    else:
        assert entry.format is Format.TABLE, entry.name
        assert entry.schema is not None, entry.name
        assert isinstance(value, pd.DataFrame | pa.Table | list), f"{entry.name}: {type(value)}"
        shutil.rmtree(path, ignore_errors=True)
        storage.write_table(value, path, entry.schema)
    return path
