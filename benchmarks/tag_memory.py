"""Memory and time of a training step of the tag decoder against the number of tags: all at once, and by recomputed chunks.

python -m benchmarks.tag_memory [--tags 500 1000 …] [--images 2] [--chunk 1024] [--threads 1]

The decoder has the paper's size (2 layers, width 768) and reads the 50 image tokens of an image at 224 pixels. Every row is a
process of its own: forward, asymmetric loss, backward, in float32 on the CPU. "saved" is what autograd holds between forward
and backward beyond weights, image tokens and embeddings, each storage once; "peak" is how far the process's memory rose over
what it was before the step; both in MiB. Linux alone. Leave the machine alone meanwhile: the time is the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

MODES = {"all at once": (0, False), "chunks, kept": (None, False), "chunks, recomputed": (None, True)}
NUM_TOKENS, TOKEN_WIDTH, EMBEDDING_WIDTH = 50, 512, 512
MIB = 1 << 20


class SavedBytes:
    """Counts the bytes that autograd saves for the gradient inside the block, each storage once."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._alive: list[torch.Tensor] = []

    def __enter__(self) -> SavedBytes:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self._sizes[storage.data_ptr()] = storage.nbytes()
        self._alive.append(tensor)  # else its address could be given out again
        return tensor

    def total(self, *without: torch.Tensor) -> int:
        """The bytes saved, those of the given tensors left out."""
        known = {tensor.untyped_storage().data_ptr() for tensor in without}
        return sum(size for place, size in self._sizes.items() if place not in known)


def step(num_tags: int, num_images: int, chunk: int, recompute: bool, count: bool) -> dict[str, float]:
    """One training step: the seconds it took, and what was saved (0 unless it is counted) and the peak, in MiB."""
    from ram.model.tag_decoder import TagDecoder
    from ram.training.losses import asymmetric_loss

    torch.manual_seed(0)
    decoder = TagDecoder(
        embedding_width=EMBEDDING_WIDTH, token_width=TOKEN_WIDTH, width=768, num_layers=2, num_heads=4, ffn_ratio=4.0,
        pre_norm=False, dropout=0.1, num_tags_per_chunk=chunk,
    )  # fmt: skip
    decoder.recompute = recompute
    tokens_BND = torch.randn(num_images, NUM_TOKENS, TOKEN_WIDTH, requires_grad=True)
    embedding_KE = torch.nn.functional.normalize(torch.randn(num_tags, EMBEDDING_WIDTH), dim=1)
    targets_BK = (torch.rand(num_images, num_tags) < 0.01).float()
    for parameter in decoder.parameters():
        parameter.grad = torch.zeros_like(parameter)  # part of what is there before, as in any step but the first
    if num_tags > 1:
        step(1, num_images, chunk, recompute, False)  # what is loaded and set up once is no cost of a step
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before_mib = _memory_mib("VmRSS")
    saved = SavedBytes()
    start = time.perf_counter()
    if count:
        with saved:
            logits_BK = decoder(tokens_BND, embedding_KE)
    else:
        logits_BK = decoder(tokens_BND, embedding_KE)
    asymmetric_loss(logits_BK, targets_BK, gamma_neg=7.0, gamma_pos=0.0, clip=0.05).backward()
    return {
        "seconds": time.perf_counter() - start,
        "saved": saved.total(*decoder.parameters(), tokens_BND, embedding_KE) / MIB,
        "peak": _memory_mib("VmHWM") - before_mib,
    }


def _memory_mib(field: str) -> float:
    """What Linux says of this process's memory: VmRSS, what it has now, or VmHWM, the most it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure(arguments: argparse.Namespace, num_tags: int, mode: str, count: bool) -> dict[str, float]:
    """`step` in a process of its own: a peak of memory is a process's, once and for all."""
    chunk, recompute = MODES[mode]
    given = [num_tags, arguments.images, arguments.chunk if chunk is None else chunk, recompute, count]
    code = (
        f"import json, torch; torch.set_num_threads({arguments.threads}); from benchmarks.tag_memory import step; "
        f"print(json.dumps(step(*{given})))"
    )
    # Large tensors go back to the system when they are freed: else the peak is what the allocator hoards.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(MIB)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tags", type=int, nargs="+", default=[500, 1000, 2000, 4585, 10000, 20000])
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["all at once", "chunks, recomputed"])
    arguments = parser.parse_args()
    columns = "".join(f"| {mode}: saved | peak | step, s " for mode in arguments.modes)
    print(f"| tags {columns}|\n|---{'|---' * (3 * len(arguments.modes))}|", flush=True)
    for num_tags in arguments.tags:
        cells = []
        for mode in arguments.modes:
            # Counting keeps every saved tensor alive a little longer: the peak is another process's.
            saved = measure(arguments, num_tags, mode, True)["saved"]
            found = measure(arguments, num_tags, mode, False)
            cells += [f"{saved:,.2f}", f"{found['peak']:,.0f}", f"{found['seconds']:.2f}"]
        print(f"| {num_tags:,} | {' | '.join(cells)} |", flush=True)
    print(
        f"\n{arguments.images} images, chunks of {arguments.chunk}, {arguments.threads} of {os.cpu_count()} cores "
        f"({platform.machine()}), {platform.system()}, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
