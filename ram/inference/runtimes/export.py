"""A model as one file that runs without this project: ONNX, or a program of `torch.export`.

The folder of an export has the program, the embeddings of the model's tags, and `export.json` with their names and
thresholds and how images are made ready. The program takes images and tag embeddings and gives logits: the tags may
change after the export, and so may the number of images.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from ram.inference.thresholds import Thresholds
from ram.io.tables import write_json
from ram.model.checkpoint import Checkpoint
from ram.model.ram import RAM
from ram.model.tag_embeddings import EMBEDDINGS

# B images, K tags, J descriptions of a tag, E text embedding width

Format = Literal["onnx", "torch_export"]
FORMATS: dict[str, str] = {"onnx": "model.onnx", "torch_export": "model.pt2"}
FACTS = "export.json"
_TOLERANCE = 1e-3  # of the logits' spread: rounding of another order of the same sums
_ONE_FILE_BYTES = 1_800_000_000  # more than 2 GiB no ONNX file can hold: weights then lie in a second one
_OPSET = 20  # the first with GELU
Run = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how far its logits are from the model's, at most, on random images and all tags."""

    path: Path
    num_bytes: int
    logits_off: float
    logits_spread: float  # standard deviation of the model's own


class _Program(nn.Module):
    """Images and tag embeddings to logits."""

    def __init__(self, model: RAM) -> None:
        super().__init__()
        self.image_encoder = copy.deepcopy(model.image_encoder)
        self.tag_decoder = copy.deepcopy(model.tag_decoder)
        self.text_alignment = copy.deepcopy(model.text_alignment)
        self.tag_decoder.num_tags_per_chunk = 0  # a loop over chunks would be unrolled for one number of tags
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, tag_embeddings: Tensor) -> Tensor:
        tokens_BND = self.image_encoder(images)
        logits_BK = self.tag_decoder(tokens_BND, tag_embeddings)
        if self.text_alignment is not None:
            logits_BK = logits_BK + self.text_alignment.logits(tokens_BND[:, 0], tag_embeddings)
        return logits_BK


def export_model(
    checkpoint: Checkpoint, thresholds: Thresholds, out: Path, form: Format, *, quantize: bool = False
) -> list[Exported]:
    """Write the folder and try what was written on images and tags in other numbers than it was made with.

    `quantize` (ONNX): a second file, model.int8.onnx, whose matrices take 8 bits a weight. `ValueError` for an unknown
    format, for packages that it wants, and where the program's logits are not the model's.
    """
    if form not in FORMATS:
        raise ValueError(f"unknown format {form!r}; known: {', '.join(FORMATS)}")
    if quantize and form != "onnx":
        raise ValueError(f"quantize wants format onnx, got {form}")
    out.mkdir(parents=True, exist_ok=True)
    model = checkpoint.model
    program = _Program(model).cpu()
    own_KE = model.tag_embedding_KE.detach().float().cpu()
    examples = (_images(model, 2), own_KE[: min(len(own_KE), 7)].clone())
    path = out / FORMATS[form]
    run = _write_onnx(program, examples, path) if form == "onnx" else _write_program(program, examples, path)
    done = [_compared(path, run, program, own_KE, model)]
    if done[0].logits_off > _TOLERANCE * max(done[0].logits_spread, 1.0):
        raise ValueError(
            f"{path} gives logits that are up to {done[0].logits_off:.2g} from the model's: its backbone "
            f"{model.params.image_encoder} does not export to {form}"
        )
    if quantize:
        smaller = out / "model.int8.onnx"
        done.append(_compared(smaller, _quantized(path, smaller), program, own_KE, model))
    save_file({"embedding_KE": np.ascontiguousarray(own_KE.numpy())}, out / EMBEDDINGS)
    write_json(_facts(checkpoint, thresholds, done), out / FACTS)
    return done


def _facts(checkpoint: Checkpoint, thresholds: Thresholds, done: Sequence[Exported]) -> dict[str, Any]:
    return {
        "model_version": checkpoint.version,
        "programs": [one.path.name for one in done],
        "inputs": {
            "images": "float32, B × 3 × image_size × image_size: RGB from 0 to 1, minus mean, over std",
            "tag_embeddings": f"float32, rows of {EMBEDDINGS} or others by the same text encoder and templates",
        },
        "output": "logits, float32, B × tags: the score of a tag is the sigmoid",
        "preprocess": asdict(checkpoint.model.preprocess),
        "text_encoder": checkpoint.params.text_encoder,
        "templates": checkpoint.params.templates,
        "tags": [
            {"name": tag.name, "kind": tag.kind, "threshold": thresholds.of(tag)}
            for tag in checkpoint.label_system.tags
        ],
    }


def _shapes() -> dict[str, dict[int, Any]]:
    return {"images": {0: torch.export.Dim("images")}, "tag_embeddings": {0: torch.export.Dim("tags")}}


def _write_program(program: nn.Module, examples: tuple[Tensor, Tensor], path: Path) -> Run:
    with torch.no_grad():  # else the frozen trunk's own no_grad would stand in the program
        exported = torch.export.export(program, examples, dynamic_shapes=_shapes())
    torch.export.save(exported, path)
    loaded = torch.export.load(path).module()
    return lambda images, rows: loaded(torch.from_numpy(images), torch.from_numpy(rows)).numpy()


def _write_onnx(program: nn.Module, examples: tuple[Tensor, Tensor], path: Path) -> Run:
    _require_onnx()
    num_bytes = sum(t.numel() * t.element_size() for t in program.state_dict().values())
    torch.onnx.export(
        program,
        examples,
        path,
        input_names=["images", "tag_embeddings"],
        output_names=["logits"],
        dynamic_shapes=_shapes(),
        external_data=num_bytes > _ONE_FILE_BYTES,
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    return _onnx_run(path)


def _quantized(path: Path, smaller: Path) -> Run:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        path, smaller, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True
    )
    return _onnx_run(smaller)


def _onnx_run(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        logits: np.ndarray = session.run(["logits"], {"images": images, "tag_embeddings": rows})[0]
        return logits

    return run


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{error.name} is not installed; pip install 'ram-tagger[export]'") from error


def _images(model: RAM, number: int) -> Tensor:
    size = model.params.image_size
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(number))


def _compared(path: Path, run: Run, program: nn.Module, own_KE: Tensor, model: RAM) -> Exported:
    """One image and three, all tags and a few in another order."""
    off, logits = 0.0, torch.zeros(0)
    for number, rows_KE in ((1, own_KE), (3, own_KE.flip(0)[: max(len(own_KE) // 2, 1)])):
        images = _images(model, number)
        with torch.inference_mode():
            logits = program(images, rows_KE)
        given = run(images.numpy(), np.ascontiguousarray(rows_KE.numpy()))
        assert given.shape == tuple(logits.shape), (given.shape, logits.shape)
        off = max(off, float(np.abs(given - logits.numpy()).max()))
    num_bytes = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    return Exported(path, num_bytes, off, float(logits.std()) if logits.numel() > 1 else 0.0)
