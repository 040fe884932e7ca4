"""What the detectors of the cleaning cost, whether the HDBSCANs agree, and what that means for millions of images.

python -m benchmarks.detectors            # half an hour of one core
python -m benchmarks.detectors --sizes 500 1000 2000 --limit-s 20

Every measurement has a process of its own: CPU seconds of one judgement of a tag, libraries loaded and compiled before, and
the peak memory of the whole process. Regions are drawn: 512 numbers, in 12 directions, six looks, and 5 % that have none.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import multiprocessing
import os
import platform
import resource
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import yaml

from ram.data_engine.detectors import DetectorParams, judge
from ram.data_engine.detectors import hdbscan as density
from ram.data_engine.detectors.points import points_of
from ram.pipeline.params import from_mapping

ROOT = Path(__file__).resolve().parents[1]
WIDTH, DIRECTIONS, LOOKS, OUTLYING = 512, 12, 6, 0.05
ASKED = {  # what is measured: detector, and the library of HDBSCAN
    "hdbscan, GLOSH": ("hdbscan", "hdbscan", "glosh"),
    "hdbscan, probability": ("hdbscan", "hdbscan", "probability"),
    "sklearn HDBSCAN": ("hdbscan", "sklearn", "probability"),
    "fast_hdbscan": ("hdbscan", "fast_hdbscan", "probability"),
    "kmeans": ("kmeans", "hdbscan", "glosh"),
    "isolation_forest": ("isolation_forest", "hdbscan", "glosh"),
}
COSTED = [asked for asked in ASKED if asked != "hdbscan, probability"]  # which costs what GLOSH does
EXACT_DIMS = 30  # that fast_hdbscan can do
# The paper: 14 M images, 4,585 tags; its data engine gave 4 M images 41.7 M tags.
IMAGES, TAGS, TAGS_PER_IMAGE = 14_000_000, 4_585, 41.7 / 4

Cost = tuple[float, float]  # CPU seconds, MiB


def regions(count: int, seed: int) -> np.ndarray:
    """float32 (count, WIDTH) of length 1; the last ones, a share of OUTLYING, look like nothing else."""
    rng = np.random.default_rng(seed)
    look_LD = rng.normal(size=(LOOKS, DIRECTIONS))
    inner = look_LD[rng.integers(LOOKS, size=count)] + 0.35 * rng.normal(size=(count, DIRECTIONS))
    outlying = round(OUTLYING * count)
    inner[count - outlying :] = 1.5 * rng.normal(size=(outlying, DIRECTIONS))
    feature_ND = inner @ rng.normal(size=(DIRECTIONS, WIDTH)) / math.sqrt(DIRECTIONS)
    feature_ND += 0.02 * rng.normal(size=feature_ND.shape)
    return (feature_ND / np.linalg.norm(feature_ND, axis=1, keepdims=True)).astype(np.float32)


def recipe() -> DetectorParams:
    section = yaml.safe_load((ROOT / "recipes" / "paper_14m.yaml").read_text(encoding="utf-8"))["clean_tags"]
    return from_mapping(DetectorParams, section["detectors"], "detectors")


def dims_of(asked: str) -> int | None:
    """PCA as in the recipe, or what the library can do."""
    return EXACT_DIMS if asked == "fast_hdbscan" else recipe().points.pca_dims


def parameters(asked: str, pca_dims: int | None, max_regions: int) -> DetectorParams:
    """The recipe's, but for what is measured."""
    base = recipe()
    detector, library, score = ASKED[asked]
    return dataclasses.replace(
        base,
        use={detector: 1.0},
        points=dataclasses.replace(base.points, pca_dims=pca_dims, max_regions=max_regions),
        hdbscan=dataclasses.replace(base.hdbscan, library=library, score=score),
    )


def _judge_alone(params: DetectorParams, count: int, limit_s: int, answer: Connection) -> None:
    few = regions(300, 1)
    nothing, trusted = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=bool)
    judge(few, nothing[:300], trusted[:300], params, seed=0)  # loads, and compiles where a library does
    feature_ND = regions(count, 0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of drawing
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + limit_s, used + limit_s + 5))
    start = time.process_time()
    judge(feature_ND, nothing, trusted, params, seed=0)
    seconds = time.process_time() - start
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    answer.send((seconds, peak))


def cost(params: DetectorParams, count: int, limit_s: int) -> Cost | None:
    """None where it took longer than `limit_s` CPU seconds."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_judge_alone, args=(params, count, limit_s, theirs))
    process.start()
    theirs.close()
    try:
        found: Cost | None = mine.recv()
    except EOFError:
        found = None
    process.join()
    if found is None and process.exitcode != -24:  # SIGXCPU: the limit
        raise RuntimeError(f"measuring {count} regions ended with {process.exitcode}")
    return found


def exponent(seconds: dict[int, float]) -> float:
    """The power of the number of regions that the seconds grow with; of the larger sizes, where constants no longer count."""
    some = sorted(seconds)[-3:]
    if len(some) < 2:
        return math.nan
    return float(np.polyfit(np.log(some), np.log([seconds[n] for n in some]), 1)[0])


def print_costs(sizes: list[int], limit_s: int) -> dict[str, dict[int, float]]:
    """Seconds by size of what was asked, with the dimensions of `dims_of`."""
    kept: dict[str, dict[int, float]] = {}
    pca_dims = recipe().points.pca_dims
    print(f"CPU seconds / peak MiB of the process; -: over {limit_s} s, or a smaller size was")
    print(f"{'':36}{''.join(f'{n:>16,}' for n in sizes)}   grows with n^")
    for dims in (EXACT_DIMS, pca_dims, None):
        for asked in COSTED:
            if asked == "fast_hdbscan" and dims != EXACT_DIMS:
                continue  # refuses more dimensions
            seconds: dict[int, float] = {}
            line = f"{asked + (f', PCA {dims}' if dims else f', all {WIDTH}'):36}"
            for n in sizes:
                found = cost(parameters(asked, dims, n), n, limit_s) if len(seconds) == sizes.index(n) else None
                line += f"{f'{found[0]:.2f} / {found[1]:.0f}' if found else '-':>16}"
                if found:
                    seconds[n] = found[0]
            print(f"{line}   {exponent(seconds):.2f}", flush=True)
            if dims == dims_of(asked):
                kept[asked] = seconds
    return kept


def print_sampled(sizes: list[int], limit_s: int, max_regions: int) -> dict[str, float]:
    """Of twice and five times `max_regions` regions, fitted on a sample: cost, and the seconds a placed region adds."""
    counts = [round(2.5 * max_regions), 5 * max_regions]
    print(
        f"\nfitted on {max_regions:,} regions, the others placed; PCA {recipe().points.pca_dims} (fast_hdbscan {EXACT_DIMS})"
    )
    print(f"{'':36}{''.join(f'{n:>16,}' for n in counts)}   µs a placed region")
    placed = {}
    for asked in COSTED:
        found = [cost(parameters(asked, dims_of(asked), max_regions), n, 3 * limit_s) for n in counts]
        line = "".join(f"{f'{c[0]:.2f} / {c[1]:.0f}' if c else '-':>16}" for c in found)
        placed[asked] = (found[1][0] - found[0][0]) / (counts[1] - counts[0]) if all(found) else math.nan  # type: ignore[index]
        print(f"{asked:36}{line}   {placed[asked] * 1e6:.0f}", flush=True)
    return placed


def print_agreement(count: int) -> None:
    """Of every pair of libraries: are the same regions together, and do the scores order them alike?"""
    from scipy.stats import spearmanr
    from sklearn.metrics import adjusted_rand_score, roc_auc_score

    print(
        f"\n{count:,} regions, PCA {EXACT_DIMS}{'':14}{'ARI of clusters':>18}{'rank correlation':>18}   AUC of the outlying"
    )
    outlying = np.arange(count) >= count - round(OUTLYING * count)
    found = {}
    for asked, (detector, *_) in ASKED.items():
        params = parameters(asked, EXACT_DIMS, count)
        points = points_of(regions(count, 0), params.points, seed=0)
        assert points is not None
        if detector == "hdbscan":
            clusters = density.find_clusters(points, params.hdbscan)
            found[asked] = (clusters.labels[points.inverse_N], clusters.score_M[points.inverse_N])
    reference = found["hdbscan, probability"]
    for asked, (labels, scores) in found.items():
        ari, rho = adjusted_rand_score(reference[0], labels), spearmanr(reference[1], scores).statistic
        print(f"{asked:36}{ari:18.4f}{rho:18.4f}   {roc_auc_score(outlying, scores):.4f}")


def rows_of_tags() -> np.ndarray:
    """Rows of every tag: as many as the paper's data engine would give, by Zipf's law."""
    share_K = 1 / np.arange(1, TAGS + 1)
    # No image has a tag twice: what is over one an image goes to the others.
    rows_K = share_K / share_K.sum() * IMAGES * TAGS_PER_IMAGE
    for _ in range(50):
        over = rows_K >= IMAGES
        rest = IMAGES * TAGS_PER_IMAGE - IMAGES * over.sum()
        rows_K = np.where(over, IMAGES, share_K / share_K[~over].sum() * rest)
    return rows_K


def print_projection(
    seconds: dict[str, dict[int, float]], placed: dict[str, float], max_regions: int, max_rows: int
) -> None:
    rows_K = rows_of_tags()
    shares_K = np.ceil(rows_K / max_rows)  # a tag of more rows than a worker holds is judged in shares
    fitted_K = np.minimum(rows_K / shares_K, max_regions)
    num_placed = (rows_K - shares_K * fitted_K).sum()
    print(
        f"\n{IMAGES / 1e6:.0f} M images x {TAGS_PER_IMAGE:.1f} tags = {rows_K.sum() / 1e6:.0f} M rows of {TAGS:,} tags "
        f"(Zipf: {rows_K.max() / 1e6:.1f} M to {rows_K.min():,.0f}, median {np.median(rows_K):,.0f}); judged in "
        f"{shares_K.sum():,.0f} shares of {max_rows:,} rows at most,\neach fitted on {max_regions:,} at most "
        f"({(shares_K * fitted_K).sum() / 1e6:.1f} M in all), the other {num_placed / 1e6:.1f} M placed"
    )
    for asked, of_size in seconds.items():
        if len(of_size) < 2 or math.isnan(placed[asked]):
            continue
        sizes = np.log(sorted(of_size))
        times = np.log([of_size[n] for n in sorted(of_size)])
        power = exponent(of_size)
        fit_K = np.exp(np.interp(np.log(fitted_K), sizes, times))
        larger_K = np.maximum(fitted_K / max(of_size), 1) ** power  # beyond the largest that was measured
        fit_s, place_s = (shares_K * fit_K * larger_K).sum(), num_placed * placed[asked]
        fit_h, place_h = fit_s / 3600, place_s / 3600
        print(f"{asked:36}{fit_h:8.1f} h fitting + {place_h:6.1f} h placing = {fit_h + place_h:8.1f} CPU hours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 20000, 50000])
    parser.add_argument("--limit-s", type=int, default=180, help="CPU seconds that one judgement may take")
    parser.add_argument("--max-regions", type=int, help="fitted at most; left out: the recipe's")
    args = parser.parse_args()
    max_regions = args.max_regions or recipe().points.max_regions
    max_rows = yaml.safe_load((ROOT / "recipes" / "paper_14m.yaml").read_text(encoding="utf-8"))["clean_tags"][
        "max_rows_at_once"
    ]
    print(f"one core of {os.cpu_count()}, {platform.machine()}; {WIDTH}-wide features")
    seconds = print_costs(sorted(args.sizes), args.limit_s)
    placed = print_sampled(args.sizes, args.limit_s, max_regions)
    print_agreement(min(5000, max(args.sizes)))
    print_projection(seconds, placed, max_regions, max_rows)


if __name__ == "__main__":
    main()
