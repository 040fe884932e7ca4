"""What tagging a picture costs: the fast model against the plain one, the same weights, on this machine's CPU.

python -m benchmarks.inference_speed [--tags 4585] [--photos 24] [--fit 80] [--repeats 3] [--threads 1] [--no-decisions]

RAM with Swin-L at 384 pixels and random weights; the plain one is benchmarks/plain_ram.py. Every variant takes its turn, as
often as `--repeats` says; the least CPU time counts, so that whoever shares the machine changes the ratios little. The peak is
that of a product of two 4096 × 4096 matrices, measured beside each variant. Decisions are of photos where RAM_REAL_DATA names
a folder with flickr8k/*.tar, else of drawn scenes; no published weights are read: a tag is said of a picture where its logit is
among its own 5 % highest over the `--fit` pictures of the shortlist, which are not those that judge.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import plain_ram
from ram.inference.fast.decoder import FastTagDecoder
from ram.inference.fast.model import FastModel, has_bf16
from ram.inference.fast.shortlist import Shortlist, fit
from ram.model.build import ModelParams, build_model
from ram.model.ram import RAM

SHORTLIST, SAID, BATCHES = 500, 0.05, (1, 8)
SWIN_L = {"image_encoder": "swin_large_patch4_window12_384", "image_size": 384}
ENCODER_GFLOP, TAG_GFLOP = 208.0, 116.0 / 4585  # of one picture, and of one tag of it
WIDTH = 512
MIB = 1 << 20
Variant = Callable[[Tensor], Tensor]


def make_model(num_tags: int, **params: Any) -> RAM:
    """RAM with random weights, by default of the published size."""
    embedding_KE = F.normalize(torch.randn(num_tags, WIDTH, generator=torch.Generator().manual_seed(0)), dim=1)
    return build_model(ModelParams(**{**SWIN_L, **params}), embedding_KE, seed=0).eval()


def cpu_s(run: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds and seconds by the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def best(runs: list[tuple[float, float]]) -> tuple[float, float]:
    return min(cpu for cpu, _ in runs), min(wall for _, wall in runs)


def peaks(side: int, repeats: int = 3) -> dict[str, float]:
    """GFLOP a CPU second of a large matrix product."""
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        matrix = torch.randn(side, side).to(dtype)
        cpu, _ = best([cpu_s(lambda matrix=matrix: matrix @ matrix) for _ in range(repeats)])
        found[name] = 2 * side**3 / cpu / 1e9
    return found


def variants(model: RAM, shortlist: Shortlist | None, limits_K: Tensor | None) -> Iterator[tuple[str, Variant]]:
    """Name -> images to logits; made one after the other, since each holds the weights anew."""
    yield "plain", lambda images: plain_ram.logits(model, images)
    yield "fp32", _whole(FastModel(model))
    if has_bf16(torch.device("cpu")):
        fast = FastModel(model, "bf16")
        yield "bf16", _whole(fast)
        if shortlist is not None and limits_K is not None:
            yield f"bf16, shortlist of {SHORTLIST}", _short(fast, shortlist, limits_K)


def _whole(fast: FastModel) -> Variant:
    return lambda images: fast.tag_logits(fast.encode(images)[0])


def _short(fast: FastModel, shortlist: Shortlist, limits_K: Tensor) -> Variant:
    def run(images: Tensor) -> Tensor:
        tokens_BTD, _ = fast.encode(images)
        rows_BS = shortlist.rows(tokens_BTD[:, 0], limits_K, SHORTLIST)
        logits_BK = torch.full((len(images), len(limits_K)), -torch.inf)
        for i, rows_S in enumerate(rows_BS):
            logits_BK[i, rows_S] = fast.tag_logits(tokens_BTD[i : i + 1], fast.own_tags.rows(rows_S))[0]
        return logits_BK

    return run


def speed_rows(
    model: RAM, shortlist: Shortlist | None, limits_K: Tensor | None, repeats: int, side: int
) -> list[dict[str, Any]]:
    """Of every batch size and variant the seconds a picture, the ratio to plain, and the share of the peak."""
    known = list(variants(model, shortlist, limits_K))
    size, rows = model.params.image_size, []
    work_gflop = ENCODER_GFLOP + TAG_GFLOP * model.num_tags
    peak = peaks(side)
    with torch.inference_mode():
        for batch in BATCHES:
            images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(batch))
            wanted, runs = known[0][1](images), {name: [] for name, _ in known}  # type: dict[str, list]
            off = {name: float((run(images) - wanted).nan_to_num(neginf=0).abs().max()) for name, run in known}
            for _ in range(repeats):
                for name, run in known:
                    runs[name].append(cpu_s(lambda run=run, images=images: run(images)))
            plain_s = best(runs["plain"])[0]
            for name, _ in known:
                cpu, wall = best(runs[name])
                at = peak["bf16" if "bf16" in name else "fp32"]
                rows.append(
                    {
                        "batch": batch, "variant": name, "cpu_s": cpu / batch, "wall_s": wall / batch,
                        "ratio": plain_s / cpu, "gflop_s": work_gflop * batch / cpu, "off": off[name],
                        "of_peak": work_gflop * batch / cpu / at,
                    }
                )  # fmt: skip
    return rows


def pictures(number: int, size: int) -> Tensor:
    """Normalised photos, or drawn scenes where there are none."""
    from PIL import Image

    root = os.environ.get("RAM_REAL_DATA")
    tars = sorted(Path(root, "flickr8k").glob("test-*.tar")) if root else []
    if tars:
        from ram.inference.pictures import read_picture
        from ram.inference.sources import named_pictures

        found = [read_picture(p) for p in itertools.islice(named_pictures(map(str, tars)), number)]
    else:
        generator = np.random.default_rng(0)
        found = [Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(number)]
    from ram.model.preprocess import Preprocess

    preprocess = Preprocess(image_size=size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return torch.stack([preprocess(image) for image in found])


def fitted(model: RAM, images: Tensor, precision: str) -> tuple[Shortlist, Tensor, str]:
    """A shortlist of these pictures, the limit of every tag, and what the fit says of itself."""
    fast = FastModel(model, precision)  # type: ignore[arg-type]
    pooled, logits = [], []
    for batch in images.split(8):
        tokens_BTD, _ = fast.encode(batch)
        pooled.append(tokens_BTD[:, 0])
        logits.append(fast.tag_logits(tokens_BTD))
    pooled_ND, logits_NK = torch.cat(pooled), torch.cat(logits)
    limits_K = logits_NK.quantile(1 - SAID, dim=0)
    shortlist, (measured,) = fit(pooled_ND, logits_NK, limits_K, "", [SHORTLIST])
    said = f"{measured.said:.0f} tags said a picture, {measured.kept:.1%} of them in a shortlist of {SHORTLIST}"
    return shortlist, limits_K, f"left out of the fit on {len(images)} pictures: {said}"


def decision_rows(
    model: RAM, shortlist: Shortlist, limits_K: Tensor, images: Tensor
) -> list[tuple[str, float, float, float]]:
    """Variant, share of decisions equal to plain's, of plain's said tags those said, of those said what plain says."""
    rows, wanted = [], torch.empty(0)
    with torch.inference_mode():
        for name, run in variants(model, shortlist, limits_K):
            said = torch.cat([run(batch) for batch in images.split(8)]) >= limits_K
            if name == "plain":
                wanted = said
            both = float((said & wanted).sum())
            rows.append(
                (name, float((said == wanted).float().mean()), both / float(wanted.sum()), both / float(said.sum()))
            )
    return rows


def tag_cost(num_tags: list[int], repeats: int) -> list[tuple[int, str, float, float]]:
    """Tags, decoder, CPU seconds a picture, and MiB of memory that one call takes; each a process of its own."""
    rows = []
    for tags, kind in itertools.product(num_tags, ("plain", "fp32", "bf16")):
        if kind == "bf16" and not has_bf16(torch.device("cpu")):
            continue
        command = [sys.executable, "-m", "benchmarks.inference_speed", "--one-decoder", kind, "--tags", str(tags)]
        command += ["--repeats", str(repeats), "--threads", str(torch.get_num_threads())]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        cpu, memory = map(float, done.stdout.split())
        rows.append((tags, kind, cpu, memory))
    return rows


def one_decoder(kind: str, num_tags: int, repeats: int) -> None:
    """The tag decoder alone, 145 image tokens, a batch of 8; prints CPU seconds a picture and MiB."""
    model = make_model(num_tags, image_encoder="resnet10t", image_size=32)
    tokens_BTD = torch.randn(8, 145, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        if kind == "plain":
            run: Callable[[], Tensor] = lambda: plain_ram.tag_logits(model, tokens_BTD)  # noqa: E731
        else:
            decoder = FastTagDecoder(model.tag_decoder, {"fp32": torch.float32, "bf16": torch.bfloat16}[kind])
            tags = decoder.prepare(model.tag_embedding_KE)
            run = lambda: decoder.logits(tokens_BTD, tags)  # noqa: E731
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu, _ = best([cpu_s(run) for _ in range(repeats)])
    print(cpu / 8, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tags", type=int, default=4585)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--fit", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-decisions", action="store_true")
    parser.add_argument("--one-decoder", choices=["plain", "fp32", "bf16"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.one_decoder:
        one_decoder(given.one_decoder, given.tags, given.repeats)
        return
    model, shortlist, limits_K = make_model(given.tags), None, None
    if not given.no_decisions:
        images = pictures(given.fit + given.photos, model.params.image_size)
        precision = "bf16" if has_bf16(torch.device("cpu")) else "fp32"
        shortlist, limits_K, words = fitted(model, images[: given.fit], precision)
        print(words)
        print("| variant | decisions equal | of plain's tags said | of its tags plain's |\n|---|---|---|---|")
        for name, equal, kept, right in decision_rows(model, shortlist, limits_K, images[given.fit :]):
            print(f"| {name} | {equal:.3%} | {kept:.1%} | {right:.1%} |", flush=True)
    print(
        "| batch | variant | ratio to plain | CPU s a picture | s by the clock | GFLOP a CPU s | of the peak | logits off by |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in speed_rows(model, shortlist, limits_K, given.repeats, side=4096):
        print(
            f"| {row['batch']} | {row['variant']} | {row['ratio']:.2f} | {row['cpu_s']:.2f} | {row['wall_s']:.2f} | "
            f"{row['gflop_s']:.0f} | {row['of_peak']:.0%} | {row['off']:.1e} |",
            flush=True,
        )
    print("| tags | decoder | CPU s a picture | MiB for a batch of 8 |\n|---|---|---|---|")
    for tags, kind, cpu, memory in tag_cost([1000, 4585, 20_000], 1):
        print(f"| {tags} | {kind} | {cpu:.3f} | {memory:.0f} |", flush=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{platform.processor() or platform.machine()}, {given.threads} threads, torch {torch.__version__}, load {load:.1f}"
    )


if __name__ == "__main__":
    main()
