"""Checkpoints of strangers: no code in them runs, and what is wrong with their tensors is said before a model tags with it."""

from __future__ import annotations

import io
import json
import os
import pickle
import shlex
import struct
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ram.labels import LabelSystem, Tag
from ram.model.build import build_model
from ram.model.checkpoint import CONFIG, LABELS, WEIGHTS, load_checkpoint, save_checkpoint
from ram.model.params import ModelParams
from ram.model.published import read_published
from ram.model.weights import load_pretrained


class Code:
    """Unpickled by Python's own reader, it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (making(self.trace),)


def making(trace: Path) -> str:
    """The command that makes the file, wherever it lies."""
    return f"touch {shlex.quote(str(trace))}"


def torch_saved(document: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(document, stream, **options)
    return stream.getvalue()


def with_pickle(data: bytes) -> bytes:
    """A file of `torch.save` whose description of the tensors is another pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_saved({"a": torch.zeros(2)}))) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, data if entry.filename.endswith("data.pkl") else old.read(entry))
    return stream.getvalue()


def compressed(saved: bytes) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved)) as old,
        zipfile.ZipFile(stream, "w", compression=zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return stream.getvalue()


WITH_CODE: dict[str, Callable[[Path], bytes]] = {
    "a plain pickle": lambda trace: pickle.dumps(Code(trace)),
    "a pickle of protocol 0": lambda trace: pickle.dumps(Code(trace), protocol=0),
    "a pickle beside tensors": lambda trace: torch_saved({"model": {"a": torch.zeros(2)}, "epoch": Code(trace)}),
    "a pickle for a tensor": lambda trace: torch_saved({"model": {"a": Code(trace)}}),
    "a file of the old form": lambda trace: torch_saved({"a": Code(trace)}, _use_new_zipfile_serialization=False),
    "a description of tensors that is code": lambda trace: with_pickle(pickle.dumps(Code(trace), protocol=2)),
    "a call by name": lambda trace: with_pickle(
        b"cposix\nsystem\n(V%s\ntR." % making(trace).encode("raw-unicode-escape")
    ),
    "a builtin": lambda trace: with_pickle(b"cbuiltins\neval\n(S'open(%r, chr(119))'\ntR." % str(trace)),
    "a Namespace that holds code": lambda trace: torch_saved({"model": {}, "args": Namespace(a=Code(trace))}),
    "a module": lambda trace: torch_saved(nn.Linear(2, 2)),
}  # fmt: skip


def read_as_backbone(path: Path) -> None:
    load_pretrained(nn.Linear(2, 2), str(path))


@pytest.mark.parametrize("read", [read_published, read_as_backbone], ids=["published", "backbone"])
@pytest.mark.parametrize("what", WITH_CODE)
def test_a_checkpoint_with_code_is_refused_and_the_code_does_not_run(
    tmp_path: Path, what: str, read: Callable[[Path], Any]
) -> None:
    trace = tmp_path / "ran"
    path = tmp_path / "model.pth"
    path.write_bytes(WITH_CODE[what](trace))
    with pytest.raises(ValueError, match=r"model\.pth is (refused|broken)"):
        read(path)
    assert not trace.exists()


def test_the_code_of_these_tests_would_run_if_it_were_let(tmp_path: Path) -> None:
    for name in ("a plain pickle", "a pickle of protocol 0"):
        pickle.loads(WITH_CODE[name](tmp_path / name.replace(" ", "_")))
        assert (tmp_path / name.replace(" ", "_")).exists()


def safetensors_file(header: bytes, num_bytes: int | None = None, data: bytes = b"\0" * 16) -> bytes:
    return struct.pack("<Q", len(header) if num_bytes is None else num_bytes) + header + data


def described(**changes: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes
    return safetensors_file(json.dumps({"weight": entry}).encode())


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "text": b"no tensors at all",
    "a header of 2**60 bytes": safetensors_file(b"{}", 2**60),
    "a header of 200 MB": safetensors_file(b"{}", 200_000_000),
    "a header that is no JSON": safetensors_file(b"{weight: 3}"),
    "a header without end": safetensors_file(b'{"a":' * 50_000),
    "a shape of more than there is": described(shape=[10**6, 10**6]),
    "a shape that overflows": described(shape=[2**62, 4]),
    "a negative shape": described(shape=[-2, -2]),
    "offsets behind the end": described(data_offsets=[0, 10**12]),
    "offsets backwards": described(data_offsets=[16, 0]),
    "an unknown type": described(dtype="F13"),
    "bytes that nobody names": safetensors_file(b"{}", data=b"\0" * 64),
    "two tensors in one place": safetensors_file(json.dumps({
        name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} for name in "ab"}).encode()),
    "a pickle with the wrong name": pickle.dumps({"weight": 1}),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_safetensors_file_whose_header_lies_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(BROKEN[what])
    for read in (read_published, read_as_backbone):
        with pytest.raises(ValueError, match=r"model\.safetensors is broken or not whole"):
            read(path)


def test_a_file_of_pytorch_that_is_cut_compressed_or_of_other_things_is_refused(tmp_path: Path) -> None:
    whole = torch_saved({"model": {"weight": torch.zeros(300, 300), "bias": torch.zeros(2)}})
    path = tmp_path / "model.pth"
    cases = {whole[:cut]: "broken|refused" for cut in range(0, len(whole) - 1, len(whole) // 7)}
    cases |= {
        compressed(whole): "is compressed, which PyTorch never does",
        torch_saved([1, 2]): "must hold named tensors",
        torch_saved({"model": {"weight": "text"}}): "must hold named tensors",
        torch_saved(
            {"model": {"weight": torch.full((2, 2), float("nan"))}}
        ): "1 tensors have values that are no finite",
        torch_saved({"model": {"weight": torch.tensor([1.0, float("inf")])}}): "no finite numbers, first: weight",
        b"PK\x03\x04" + b"\0" * 100: "broken|refused",
        b"\x80\x02}q\0" + b"X\xff\xff\xff\x7f": "broken|refused",
        b"\x80\x04" + b"(" * 100_000 + b".": "broken|refused",
    }
    for data, said in cases.items():
        path.write_bytes(data)
        with pytest.raises(ValueError, match=said):
            read_published(path)
    path.write_bytes(torch_saved({"model": {"weight": torch.full((40,), 3e38)}}))
    assert read_published(path)["weight"].isfinite().all(), "their sum runs over, and they are finite"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    params = ModelParams(
        image_encoder="resnet10t", image_size=64, num_frozen_blocks=0, token_width=16, width=16, num_heads=2,
        ffn_ratio=2.0, text_encoder="package:wordllama", templates="plain",
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("saved")
    tags = LabelSystem([Tag(tag_id=0, name="dog"), Tag(tag_id=1, name="cat")])
    save_checkpoint(directory, build_model(params, nn.functional.normalize(torch.ones(2, 8), dim=1)), tags)
    return directory


def harmed(saved: Path, tmp_path: Path, **files: Callable[[Any], Any]) -> Path:
    """A copy of the folder with documents changed: config, labels or weights."""
    names = {"config": CONFIG, "labels": LABELS}
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name, change in files.items():
        if name == "weights":
            save_file(change(load_file(saved / WEIGHTS)), tmp_path / WEIGHTS)
        else:
            found = change(json.loads((saved / names[name]).read_text()))
            (tmp_path / names[name]).write_text(found if isinstance(found, str) else json.dumps(found))
    return tmp_path


def parameter(name: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda config: {**config, "params": {**config["params"], name: value}}


HARMS: dict[str, tuple[dict[str, Callable[[Any], Any]], str]] = {
    "NaN weights": (
        {"weights": lambda t: t | {"tag_decoder.fc.bias": torch.tensor([float("nan")])}}, r"no finite numbers, first: tag_dec"),
    "infinite weights": (
        {"weights": lambda t: {k: v * float("inf") if "layer" in k and v.ndim == 2 else v for k, v in t.items()}}, "no finite"),
    "a tensor of another shape": (
        {"weights": lambda t: t | {"tag_decoder.fc.bias": torch.zeros(7)}}, r"fc\.bias is \(7,\), not \(1,\)"),
    "a tensor too many": ({"weights": lambda t: t | {"extra": torch.zeros(7)}}, "extra is unknown"),
    "no tensors": ({"weights": lambda t: {}}, "has no tag embeddings"),
    "embeddings of another width": ({"config": lambda c: c | {"embedding_width": 9}}, r"say \(2, 9\)"),
    "embeddings of all the memory": ({"config": lambda c: c | {"embedding_width": 10**13}}, "shape"),
    "an embedding width that is text": ({"config": lambda c: c | {"embedding_width": "8"}}, "embedding_width must be int"),
    "a config that is no JSON": ({"config": lambda c: "{"}, r"config\.json is no JSON"),
    "a config that is a list": ({"config": lambda c: []}, "must hold an object"),
    "a config without parameters": ({"config": lambda c: {"format_version": 1}}, "params must be dict"),
    "a typo in a parameter": ({"config": parameter("token_widht", 16)}, r"unknown parameter token_widht \(did you mean token_width\?\)"),  # noqa: E501
    "a parameter of another type": ({"config": parameter("width", "16")}, r"params\.width must be int"),
    "an unknown backbone": ({"config": parameter("image_encoder", "no_such_net")}, "no_such_net"),
    "a backbone that is a path": ({"config": parameter("image_encoder", "../../etc/passwd")}, "passwd"),
    "a width that is not that of the weights": ({"config": parameter("width", 32)}, "does not fit its configuration"),
    "a width for all the memory": ({"config": parameter("width", 10**8)}, "does not fit its configuration"),
    "a width beyond numbers": ({"config": parameter("width", 2**62)}, "cannot be built"),
    "layers without end": ({"config": parameter("num_layers", 10**9)}, "num_layers must be 1 to 256"),
    "a backbone of all the memory": (
        {"config": parameter("image_encoder_options", {"stem_width": 10**7})}, "does not fit its configuration"),
    "a backbone without end": ({"config": parameter("image_encoder_options", {"layers": [10**9, 1, 1, 1]})}, "at most 1000"),
    "labels that are no JSON": ({"labels": lambda c: "not"}, r"label_system\.json is no JSON"),
    "labels with an id twice": (
        {"labels": lambda c: c | {"tags": [c["tags"][0]] * 2}}, "tag ids must be 0"),
    "labels with one tag more": (
        {"labels": lambda c: {"tags": [*c["tags"], {"tag_id": 2, "name": "owl"}]}}, r"say \(3, 8\)"),
    "labels without tags": ({"labels": lambda c: {"version": 1}}, "has the key 'tags'"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_folder_whose_files_lie_is_refused_with_what_is_wrong(saved: Path, tmp_path: Path, harm: str) -> None:
    files, said = HARMS[harm]
    with pytest.raises(ValueError, match=said):
        load_checkpoint(harmed(saved, tmp_path, **files))


def test_the_folder_itself_is_loaded(saved: Path, tmp_path: Path) -> None:
    assert load_checkpoint(harmed(saved, tmp_path)).version == load_checkpoint(saved).version
