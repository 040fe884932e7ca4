"""What tagging an image costs: the fast model against the plain one, the same weights, on this machine's CPU.

python -m benchmarks.inference_speed [--tags 4585] [--photos 24] [--fit 80] [--repeats 2] [--said 0.05] [--shortlist 500]

RAM with Swin-L at 384 pixels and random weights; the plain one is benchmarks/plain_ram.py. Every batch of images is taken by
every variant in turn; the least CPU time of a variant counts, so that whoever shares the machine changes the ratios little. The
peak is that of a product of two square matrices. Images are photos where RAM_REAL_DATA names a folder with flickr8k/*.tar,
else mosaics of colors. A tag is said of an image where its logit is among the share `--said` of the highest of all tags on the
`--fit` images, which the shortlist is fitted on and which are not those that judge; `--fit 0`: no shortlist and no decisions.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import plain_ram
from ram.inference.runtimes.decoder import FastTagDecoder
from ram.inference.runtimes.model import FastModel
from ram.inference.runtimes.shortlist import Shortlist, fit
from ram.model.build import ModelParams, build_model
from ram.model.precision import has_bf16
from ram.model.preprocess import Preprocess
from ram.model.ram import RAM

BATCHES = (1, 8)
SWIN_L = {"image_encoder": "swin_large_patch4_window12_384", "image_size": 384}
ENCODER_GFLOP, TAG_GFLOP = 208.0, 116.0 / 4585  # of one image, and of one tag of it
WIDTH = 512
_COLUMNS = (
    "batch", "variant", "ratio to plain", "CPU s an image", "s by the clock", "GFLOP a CPU s", "of the peak",
    "logits off by", "decisions equal", "of plain's tags said",
)  # fmt: skip
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
        cpu, _ = best([cpu_s(partial(torch.matmul, matrix, matrix)) for _ in range(repeats)])
        found[name] = 2 * side**3 / cpu / 1e9
    return found


@dataclass(frozen=True)
class Short:
    """A fitted shortlist, how many of its tags are decoded, and the logit from which on a tag is said."""

    shortlist: Shortlist
    limits_K: Tensor
    num_tags: int


def variants(model: RAM, short: Short | None) -> Iterator[tuple[str, Variant]]:
    """Name -> images to logits; made one after the other, since each holds the weights anew."""
    yield "plain", lambda images: plain_ram.logits(model, images)
    yield "fp32", _whole(FastModel(model))
    if has_bf16(torch.device("cpu")):
        fast = FastModel(model, "bf16")
        yield "bf16", _whole(fast)
        if short is not None:
            yield f"bf16, shortlist of {short.num_tags}", _short(fast, short)


def _whole(fast: FastModel) -> Variant:
    return lambda images: fast.tag_logits(fast.encode(images)[0])


def _short(fast: FastModel, short: Short) -> Variant:
    def run(images: Tensor) -> Tensor:
        tokens_BTD, _ = fast.encode(images)
        rows_BS = short.shortlist.rows(tokens_BTD[:, 0], short.limits_K, short.num_tags)
        logits_BK = torch.full((len(images), len(short.limits_K)), -torch.inf)
        for i, rows_S in enumerate(rows_BS):
            logits_BK[i, rows_S] = fast.tag_logits(tokens_BTD[i : i + 1], fast.own_tags.rows(rows_S))[0]
        return logits_BK

    return run


@dataclass
class Measured:
    """One variant at one batch size: CPU and clock seconds of each batch, and the logits of all its images."""

    name: str
    batch: int
    runs: list[tuple[float, float]]
    logits_BK: Tensor

    def per_image(self) -> tuple[float, float]:
        cpu, wall = best(self.runs)
        return cpu / self.batch, wall / self.batch

    def decisions(self, model: Measured, limits_K: Tensor) -> tuple[float, float]:
        """Shares: of all decisions, those that are the model's; of the tags that the model says, those said."""
        said, wanted = self.logits_BK >= limits_K, model.logits_BK >= limits_K
        return float((said == wanted).float().mean()), float((said & wanted).sum()) / max(float(wanted.sum()), 1)


def measure(known: list[tuple[str, Variant]], images: Tensor, batch: int, repeats: int) -> list[Measured]:
    """Batch after batch, each by every variant in turn."""
    found = [Measured(name, batch, [], torch.zeros(0)) for name, _ in known]
    with torch.inference_mode():
        for some in images.split(batch):
            for one, (_, run) in zip(found, known, strict=True):
                for repeat in range(repeats):
                    logits: list[Tensor] = []
                    one.runs.append(cpu_s(partial(_keep, run, some, logits)))
                    if repeat == 0:
                        one.logits_BK = torch.cat([one.logits_BK, logits[0]])
    return found


def _keep(run: Variant, images: Tensor, kept: list[Tensor]) -> None:
    kept.append(run(images))


def print_measured(found: list[Measured], short: Short | None, num_tags: int, peak: dict[str, float]) -> None:
    """Ratios to the first, shares of the peak, logits and decisions."""
    plain = found[0]
    for one in found:
        decoded = short.num_tags if short is not None and "shortlist" in one.name else num_tags
        work_gflop = ENCODER_GFLOP + TAG_GFLOP * decoded
        cpu, wall = one.per_image()
        at = peak["bf16" if "bf16" in one.name else "fp32"]
        known = one.logits_BK.isfinite()
        off = float((one.logits_BK - plain.logits_BK)[known].abs().max())
        cells = [
            str(one.batch), one.name, f"{plain.per_image()[0] / cpu:.2f}", f"{cpu:.2f}", f"{wall:.2f}",
            f"{work_gflop / cpu:.0f}", f"{work_gflop / cpu / at:.0%}", f"{off:.1e}",
        ]  # fmt: skip
        if short is not None:
            equal, found_share = one.decisions(plain, short.limits_K)
            cells += [f"{equal:.2%}", f"{found_share:.1%}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def photos(number: int, preprocess: Preprocess) -> Tensor:
    """Photos made ready, or mosaics of colors where there are none."""
    from PIL import Image

    root = os.environ.get("RAM_REAL_DATA")
    tars = sorted(Path(root, "flickr8k").glob("test-*.tar")) if root else []
    if tars:
        from ram.inference.image_inputs import read_image
        from ram.inference.sources import named_images

        found = [read_image(p) for p in itertools.islice(named_images(map(str, tars)), number)]
    else:
        generator = np.random.default_rng(0)
        found = [Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(number)]
    return torch.stack([preprocess(image) for image in found])


def fitted(model: RAM, images: Tensor, precision: str, share_said: float, num_tags: int) -> tuple[Short, str]:
    """A shortlist of these images, and what the fit says of itself."""
    fast = FastModel(model, precision)  # type: ignore[arg-type]
    pooled, logits = [], []
    for batch in images.split(8):
        tokens_BTD, _ = fast.encode(batch)
        pooled.append(tokens_BTD[:, 0])
        logits.append(fast.tag_logits(tokens_BTD))
    pooled_ND, logits_NK = torch.cat(pooled), torch.cat(logits)
    # One limit for all tags: of random weights each tag's own highest images would be the same few images.
    limits_K = torch.from_numpy(np.quantile(logits_NK.numpy(), 1 - share_said, keepdims=True).astype(np.float32)[0])
    limits_K = limits_K.expand(logits_NK.shape[1])
    shortlist, (measured,) = fit(pooled_ND, logits_NK, limits_K, "", [num_tags])
    said = f"{measured.said:.0f} tags said an image, {measured.kept:.1%} of them in a shortlist of {num_tags}"
    return Short(shortlist, limits_K, num_tags), f"left out of the fit on {len(images)} images: {said}"


def tag_cost(num_tags: list[int], repeats: int) -> list[tuple[int, str, float, float]]:
    """Tags, decoder, CPU seconds per image, and MiB of memory that one call takes; each a process of its own."""
    rows = []
    for tags, kind in itertools.product(num_tags, ("plain", "fp32", "bf16")):
        if kind == "bf16" and not has_bf16(torch.device("cpu")):
            continue
        rows.append((tags, kind, *decoder_cost(kind, tags, repeats)))
    return rows


def decoder_cost(kind: str, num_tags: int, repeats: int) -> tuple[float, float]:
    """What `one_decoder` prints in a process of its own, where no memory is free that was another's."""
    command = [sys.executable, "-m", "benchmarks.inference_speed", "--one-decoder", kind, "--tags", str(num_tags)]
    command += ["--repeats", str(repeats), "--threads", str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cpu, memory = map(float, done.stdout.split())
    return cpu, memory


def one_decoder(kind: str, num_tags: int, repeats: int) -> None:
    """The tag decoder alone, of the published size, 145 image tokens, a batch of 2; prints CPU seconds per image and MiB."""
    model = make_model(num_tags, image_encoder="resnet10t", image_size=32)
    tokens_BTD = torch.randn(2, 145, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        if kind == "plain":
            run: Callable[[], Tensor] = lambda: plain_ram.tag_logits(model, tokens_BTD)  # noqa: E731
        else:
            decoder = FastTagDecoder(model.tag_decoder, {"fp32": torch.float32, "bf16": torch.bfloat16}[kind])
            tags = decoder.prepare(model.tag_embedding_KE)
            run = lambda: decoder.logits(tokens_BTD, tags)  # noqa: E731
        before = resident_MiB("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the highest begins anew
        runs = [cpu_s(run)]
        highest = resident_MiB("VmHWM")
        cpu, _ = best(runs + [cpu_s(run) for _ in range(repeats - 1)])
    print(cpu / 2, highest - before)


def resident_MiB(name: str) -> float:
    """Linux: resident memory of this process, now (`VmRSS`) or at its highest (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tags", type=int, default=4585)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--fit", type=int, default=80)
    parser.add_argument("--said", type=float, default=0.05, help="the share of tags that is said of an image")
    parser.add_argument("--shortlist", type=int, default=500, help="how many tags of an image are decoded")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak-side", type=int, default=4096)
    parser.add_argument("--decoder-tags", type=int, nargs="*", default=[1000, 4585, 20_000])
    parser.add_argument("--one-decoder", choices=["plain", "fp32", "bf16"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.one_decoder:
        one_decoder(given.one_decoder, given.tags, given.repeats)
        return
    model, short = make_model(given.tags), None
    images = photos(given.fit + given.photos, model.preprocess)
    judged = images[given.fit :]
    if given.fit:
        precision = "bf16" if has_bf16(torch.device("cpu")) else "fp32"
        short, words = fitted(model, images[: given.fit], precision, given.said, given.shortlist)
        print(words)
    known = list(variants(model, short))
    peak = peaks(given.peak_side)
    print(f"peak: {', '.join(f'{name} {value:.0f} GFLOP a CPU second' for name, value in peak.items())}")
    print(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}")
    for batch in BATCHES:
        print_measured(
            measure(known, judged[: max(batch, 2)] if batch == 1 else judged, batch, given.repeats),
            short,
            given.tags,
            peak,
        )
    del known
    print("| tags | decoder | CPU s an image | MiB of a call |\n|---|---|---|---|")
    for tags, kind, cpu, memory in tag_cost(given.decoder_tags, given.repeats):
        print(f"| {tags} | {kind} | {cpu:.3f} | {memory:.0f} |", flush=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{platform.processor() or platform.machine()}, {given.threads} threads, torch {torch.__version__}, load {load:.1f}"
    )


if __name__ == "__main__":
    main()
