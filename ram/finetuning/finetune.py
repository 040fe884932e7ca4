"""A checkpoint and a table of one's own tags -> a finetuned checkpoint with thresholds of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ram.finetuning.labels import Prepared, prepare
from ram.finetuning.params import Params
from ram.finetuning.training import OwnTraining, Result
from ram.inference.tagger import load
from ram.io.disk_errors import disk_explained
from ram.io.locks import exclusive
from ram.io.tables import move_into_place
from ram.model.checkpoint import Checkpoint
from ram.training.distributed import Processes


def finetune(table: Path, images: Path | None, model: str, out: Path, params: Params) -> Result:
    """Write the checkpoint `out`, in one piece. A killed run, started again with the same arguments, goes on.

    `images` is the folder that paths are relative to; None: the table's. `ValueError` as of `prepare`, where `out`
    is there already, where the disk is full, and where the model's text encoder cannot embed the new tags. A second run for
    the same `out` waits for the first.
    """

    def wait() -> None:
        print(f"another process makes {out}; waiting for it", file=sys.stderr, flush=True)

    with exclusive(_lock(out), wait), disk_explained(out.parent, "the fine-tuning"):
        return _finetune(table, images, model, out, params)


def _lock(out: Path) -> Path:
    """Not beside `out`, where it would stay."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(
        tempfile.gettempdir(),
        f"ram-finetune-{user}-{hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]}.lock",
    )


def _finetune(table: Path, images: Path | None, model: str, out: Path, params: Params) -> Result:
    if out.exists():
        raise ValueError(f"{out} is there already; name another folder with --out, or remove it")
    processes = Processes()
    if processes.world_size > 1:
        raise ValueError("this command trains in one process; start it without torchrun or accelerate")
    start = load(model).checkpoint
    root, quarantine = images or table.parent, out.with_name(f"{out.name}.quarantine.csv")
    prepared = prepare(
        table, root, start.label_system, quarantine, complete=params.complete, dev_share=params.dev_share
    )
    scratch = out.with_name(f".{out.name}.unfinished") / _key(prepared, start, params)
    scratch.mkdir(parents=True, exist_ok=True)
    result = OwnTraining(prepared, start, params, root, scratch, processes).run()
    move_into_place(scratch / "model", out)
    shutil.rmtree(scratch.parent)
    return dataclasses.replace(result, directory=out, quarantine_path=quarantine)


def _key(prepared: Prepared, start: Checkpoint, params: Params) -> str:
    """Runs of one key do the same."""
    labels = prepared.targets().to_csv(index=False)
    facts = [start.version, dataclasses.asdict(params), sorted(prepared.hash_of.items()), labels]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
