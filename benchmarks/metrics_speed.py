"""Speed and memory of the metrics of many tags over many images, and how much faster than scikit-learn they are.

python -m benchmarks.metrics_speed [--images 100000] [--tags 4585] [--positives 8] [--dtype float16] [--resamples 10]

Scores lie in a file, as a large evaluation leaves them, and are mapped; `--positives` labels per image are spread over the
tags as in captions: few tags have most of them. Time is this process's own and the clock's, the peak what the process held at
most, mapped pages of the file included. The ratio is the median over columns of both functions' time for average precision,
taken in turn on one slice. Resamples are timed on a slice of the tags. Linux alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from ram.evaluation.columns import resample, tag_metrics, targets_of

NUM_COLUMNS = 21  # of the slice


def make(path: Path, num: int, num_tags: int, num_positives: float, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores, written to `path` and mapped, and the labels (bool)."""
    generator = np.random.default_rng(0)
    share_K = 1 / np.arange(1, num_tags + 1)
    share_K = np.minimum(share_K * num_positives / share_K.sum(), 0.5)
    scores = np.lib.format.open_memmap(path, "w+", dtype, (num, num_tags))
    positive = np.empty((num, num_tags), dtype=bool)
    for start in range(0, num, 2000):
        rows = slice(start, min(start + 2000, num))
        shape = (rows.stop - rows.start, num_tags)
        positive[rows] = generator.random(shape, dtype=np.float32) < share_K
        logits = generator.standard_normal(shape, dtype=np.float32) - 3 + 4 * positive[rows]
        scores[rows] = 1 / (1 + np.exp(-logits))
    scores.flush()
    del scores
    return np.load(path, mmap_mode="r"), positive


def against_scikit_learn(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """(times faster, greatest difference) over some columns."""
    from sklearn.metrics import average_precision_score

    ratios, differences = [], []
    columns = [k for k in np.linspace(0, scores.shape[1] - 1, NUM_COLUMNS).astype(int) if positive[:, k].any()]
    for k in columns:
        column, labels = np.array(scores[:, k : k + 1]), positive[:, k : k + 1]
        start = time.process_time()
        own = tag_metrics(column, targets_of(labels), np.full(1, 0.5), micro=False).average_precision[0]
        middle = time.process_time()
        other = average_precision_score(labels[:, 0], column[:, 0])
        ratios.append((time.process_time() - middle) / (middle - start))
        differences.append(abs(own - other))
    return statistics.median(ratios), max(differences)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--tags", type=int, default=4585)
    parser.add_argument("--positives", type=float, default=8)
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument("--resamples", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scores.npy")
        scores, positive = make(path, options.images, options.tags, options.positives, options.dtype)
        threshold_K = np.full(options.tags, 0.5)
        print(f"{options.images:,} images x {options.tags:,} tags, {options.dtype}, {positive.sum():,} positives")
        for name, micro in (("per tag", False), ("per tag and micro", True)):
            clock, cpu = time.perf_counter(), time.process_time()
            found = tag_metrics(scores, targets_of(positive), threshold_K, micro=micro)
            clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
            print(f"{name:24} {clock:7.1f} s by the clock, {cpu:7.1f} s of this process")
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(f"{'peak memory':24} {peak_gb:7.2f} GB, of which labels {positive.nbytes / 1e9:.2f} GB")
        print(f"{'mAP, micro mAP':24} {np.nanmean(found.average_precision):.4f}, {found.micro_average_precision:.4f}")
        ratio, difference = against_scikit_learn(scores, positive)
        print(f"{'against scikit-learn':24} {ratio:7.1f} times as fast, differs by at most {difference:.1e}")
        few = np.linspace(0, options.tags - 1, min(50, options.tags)).astype(int)
        start = time.process_time()
        resample(scores[:, few], targets_of(positive[:, few]), threshold_K[few], options.resamples, 0)
        each = (time.process_time() - start) / len(few)
        print(f"{'resamples':24} {1000 * each / options.resamples:7.2f} ms a tag and resample ({len(few)} tags)")
    print(f"threads {os.environ.get('OMP_NUM_THREADS', 'as many as there are')}")


if __name__ == "__main__":
    main()
