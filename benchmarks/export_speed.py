"""What an exported model is worth: bytes, CPU seconds per image and decisions of every program, beside the model itself.

python -m benchmarks.export_speed MODEL [--photos 24] [--repeats 2] [--threads 1]

The first row is the model as training has it, in float32, the peer of all others. Every batch is taken by every program in
turn, and the least CPU time of a program counts. Images are photos where RAM_REAL_DATA names a folder with flickr8k/*.tar,
else mosaics of colors. A decision is one tag of one image, said where its score reaches the model's own threshold. Programs
whose packages are not installed are left out (`pip install 'ram-tagger[export]'`).
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.inference_speed import Measured, Variant, measure, photos
from ram.inference.runtimes.export import export_model
from ram.inference.runtimes.model import FastModel
from ram.inference.thresholds import Thresholds, thresholds_in
from ram.model.checkpoint import Checkpoint, load_checkpoint
from ram.model.precision import has_bf16

BATCHES = (1, 8)
_COLUMNS = ("program", "MB", "batch", "CPU s an image", "times the model's speed", "logits off by", "decisions equal",
            "of the model's tags said")  # fmt: skip


def onnx_program(path: Path, own_KE: np.ndarray, threads: int) -> Variant:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy(), "tag_embeddings": own_KE})[0])

    return run


def torch_program(path: Path, own_KE: Tensor) -> Variant:
    program = torch.export.load(path).module()
    return lambda images: program(images, own_KE)


def fast(model: FastModel) -> Variant:
    return lambda images: model.tag_logits(model.encode(images)[0])


def programs(
    checkpoint: Checkpoint, thresholds: Thresholds, folder: Path, threads: int
) -> Iterator[tuple[str, int, Variant]]:
    """Name, bytes on disk, and images to logits."""
    model, own_KE = checkpoint.model, checkpoint.model.tag_embedding_KE.detach().float()
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    yield "the model", weights, lambda images: model.tag_logits(model.encode(images))
    yield "fast, fp32", weights, fast(FastModel(model))
    if has_bf16(torch.device("cpu")):
        yield "fast, bf16", weights, fast(FastModel(model, "bf16"))
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")):
        for one in export_model(checkpoint, thresholds, folder / "onnx", "onnx", quantize=True):
            yield one.path.name, one.num_bytes, onnx_program(one.path, own_KE.numpy(), threads)
    (one,) = export_model(checkpoint, thresholds, folder / "torch", "torch_export")
    yield one.path.name, one.num_bytes, torch_program(one.path, own_KE)


def row(one: Measured, model: Measured, num_bytes: int, limits_K: Tensor) -> list[str]:
    """The cells of one program at one batch size."""
    cpu, _ = one.per_image()
    equal, found = one.decisions(model, limits_K)
    return [
        one.name, f"{num_bytes / 1e6:.1f}", str(one.batch), f"{cpu:.4f}", f"{model.per_image()[0] / cpu:.2f}",
        f"{float((one.logits_BK - model.logits_BK).abs().max()):.1e}", f"{equal:.3%}", f"{found:.1%}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a checkpoint folder")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    checkpoint, thresholds = load_checkpoint(given.model), thresholds_in(given.model)
    images = photos(given.photos, checkpoint.model.preprocess)
    scores_K = torch.tensor([thresholds.of(tag) for tag in checkpoint.label_system.tags])
    print(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}")
    with tempfile.TemporaryDirectory() as folder:
        known = list(programs(checkpoint, thresholds, Path(folder), given.threads))
        for batch in BATCHES:
            found = measure([(name, run) for name, _, run in known], images, batch, given.repeats)
            for one, (_, num_bytes, _) in zip(found, known, strict=True):
                print("| " + " | ".join(row(one, found[0], num_bytes, torch.logit(scores_K))) + " |", flush=True)
    model = checkpoint.params
    print(f"{model.image_encoder} at {model.image_size} pixels, {checkpoint.model.num_tags:,} tags; {given.threads} threads, "
          f"{platform.machine()}, torch {torch.__version__}")  # fmt: skip


if __name__ == "__main__":
    main()
