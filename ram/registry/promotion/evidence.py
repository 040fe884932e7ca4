"""What a version is judged by: the tags it gets when it is registered, and a folder with its test scores.

The folder has `test_scores/`, the table of that name, and `names.json`: {benchmark: {"names", "kinds", "trained"}}.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ram.evaluation.calibration import Calibration, expected_calibration_error
from ram.io.tables import Table, content_hash, read_json, write_json
from ram.labels import LabelSystem
from ram.pipeline.catalog import CHECKED_TABLES, artifact
from ram.pipeline.params import load_yaml
from ram.registry.promotion.paired import NAMES_FILE, SCORES_DIR, ImageScores

NUM_TIMED = 15  # images that latency is the median of


def collect(workspace: Path, checkpoint: Path, into: Path) -> dict[str, Any]:
    """Write the evidence folder of the fine-tuned model of `workspace` at `into`; what is known of the model beside it.

    `checkpoint` is the model as it is registered, with its thresholds.
    """
    scores = workspace / artifact("test_scores").path
    if not scores.is_dir():
        raise ValueError(f"no test scores at {scores}; run the stage evaluate")
    return {
        **measured(workspace, checkpoint, scores, into),
        "data_checks": data_checks(workspace),
        "data_hash": data_hash(workspace),
        "size_mib": round(sum(p.stat().st_size for p in checkpoint.rglob("*") if p.is_file()) / 2**20, 6),
    }


def measured(workspace: Path, checkpoint: Path, scores: Path, into: Path) -> dict[str, Any]:
    """Write the evidence folder of a model with the table `scores`, of `workspace`'s test images; what follows of it."""
    shutil.copytree(scores, into / SCORES_DIR)
    path = checkpoint / "thresholds.json"
    thresholds = read_json(path) if path.is_file() else {}
    labels = LabelSystem.from_json(read_json(checkpoint / "label_system.json"))
    write_json(_names(read_json(workspace / artifact("benchmarks").path), labels, thresholds), into / NAMES_FILE)
    return {
        "evaluation_sets": evaluation_sets(workspace),
        "calibration_error": calibration_errors(into, thresholds),
    }


def _names(
    benchmarks: Mapping[str, Mapping[str, Any]], labels: LabelSystem, thresholds: Mapping[str, Any]
) -> dict[str, Any]:
    untrained = set(thresholds.get("untrained", ()))
    listed = {}
    for benchmark, facts in benchmarks.items():
        tags = [labels.find(name) for name in facts["names"]]
        listed[benchmark] = {
            "names": list(facts["names"]),
            "kinds": ["no tag" if tag is None else tag.kind for tag in tags],
            "trained": [tag is not None and tag.name not in untrained for tag in tags],
        }
    return listed


def calibration_errors(evidence: Path, thresholds: Mapping[str, Any], num_bins: int = 15) -> dict[str, float]:
    """{benchmark: error in 0 … 1 of the calibrated scores of the trained names on the test images}."""
    calibrated = Calibration(thresholds.get("temperature", 1.0), thresholds.get("bias", 0.0))
    errors = {}
    for benchmark, facts in read_json(evidence / NAMES_FILE).items():
        found = ImageScores.read(evidence, benchmark)
        trained_K = np.array(facts["trained"], dtype=bool)
        if len(found.image_ids) and trained_K.any():
            probabilities = calibrated(found.scores_NK[:, trained_K].ravel())
            positive = found.positive_NK[:, trained_K].ravel()
            errors[benchmark] = expected_calibration_error(probabilities, positive, num_bins)
    return errors


def data_checks(workspace: Path) -> dict[str, bool]:
    """{table: whether it passed its check}, of the checked tables that were checked."""
    paths = {table: workspace / artifact(f"{table}_check").path for table in CHECKED_TABLES}
    return {table: bool(read_json(path)["passed"]) for table, path in paths.items() if path.is_file()}


def data_hash(workspace: Path) -> str:
    """Of the list of the source files with their content hashes; "none" where the workspace has no such list."""
    path = workspace / artifact("sources").path
    return content_hash(path)[:16] if path.is_file() else "none"


def measure_latency_ms(checkpoint: Path) -> float:
    """Median time in milliseconds from an image in memory to its tags, one at a time, on this machine's processor."""
    from PIL import Image

    from ram.inference.tagger import load

    tagger = load(str(checkpoint))
    noise = np.random.default_rng(0).integers(256, size=(384, 512, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    tagger([image])  # the first call sets up what later ones use
    times_s = []
    for _ in range(NUM_TIMED):
        start = time.perf_counter()
        tagger([image])
        times_s.append(time.perf_counter() - start)
    return round(statistics.median(times_s) * 1000, 2)


def evaluation_sets(workspace: Path) -> dict[str, str]:
    """{benchmark: digest of its test images, labels, labeled names and of how they are scored}.

    Metrics of equal digests can be compared.
    """
    parameters = load_yaml(workspace / "params.yaml").get("evaluate")
    benchmarks = read_json(workspace / artifact("benchmarks").path)
    images = _table(workspace, "images").to_pandas(["image_id", "source", "sha256"], pc.field("split") == "test")
    labels = _table(workspace, "labels")
    found = {}
    for name, benchmark in benchmarks.items():
        mine = images[images["source"].isin(benchmark["sources"])].sort_values("image_id")
        of_mine = (pc.field("benchmark") == name) & pc.field("image_id").isin(mine["image_id"].tolist())
        rows = labels.to_pandas(["image_id", "name"], of_mine)
        content = {
            "images": mine[["image_id", "sha256"]].values.tolist(),
            "labels": sorted(map(list, set(rows.itertuples(index=False, name=None)))),
            "names": sorted(benchmark["names"]),
            "parameters": parameters,
        }
        found[name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return found


def _table(workspace: Path, name: str) -> Table:
    entry = artifact(name)
    assert entry.schema is not None
    return Table(workspace / entry.path, entry.schema)
