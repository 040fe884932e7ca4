from __future__ import annotations

import pickle
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import erf

from ram.model.build import assemble, build_preprocess
from ram.model.published import Published, fill, read_published
from ram.model.ram import RAM

# H × W the map of a stage, C its channels, N tokens, K tags, J descriptions of a tag, E embedding width, W decoder width

Shapes = dict[str, tuple[int, ...]]
TINY = {"embed": 12, "depths": (2, 2), "heads": (2, 3), "window": 4, "width": 48, "embedding": 16, "pieces": 40}
LARGE = {
    "embed": 192, "depths": (2, 2, 18, 2), "heads": (6, 12, 24, 48), "window": 12, "width": 768, "embedding": 512,
    "pieces": 30524,
}  # fmt: skip
BASE = {**LARGE, "embed": 128, "heads": (4, 8, 16, 32)}


def _linear(name: str, num_in: int, num_out: int) -> Shapes:
    return {f"{name}.weight": (num_out, num_in), f"{name}.bias": (num_out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _swin(size: dict) -> Shapes:
    shapes: Shapes = {"visual_encoder.patch_embed.proj.weight": (size["embed"], 3, 4, 4)}
    shapes["visual_encoder.patch_embed.proj.bias"] = (size["embed"],)
    shapes |= _norm("visual_encoder.patch_embed.norm", size["embed"])
    area, last = size["window"] ** 2, len(size["depths"]) - 1
    for i, (depth, heads) in enumerate(zip(size["depths"], size["heads"], strict=True)):
        width = size["embed"] * 2**i
        for j in range(depth):
            block = f"visual_encoder.layers.{i}.blocks.{j}"
            shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
            shapes[f"{block}.attn.relative_position_bias_table"] = ((2 * size["window"] - 1) ** 2, heads)
            shapes[f"{block}.attn.relative_position_index"] = (area, area)
            if j % 2 and i < last:
                shapes[f"{block}.attn_mask"] = (4 ** (last - i), area, area)
            shapes |= _linear(f"{block}.attn.qkv", width, 3 * width) | _linear(f"{block}.attn.proj", width, width)
            shapes |= _linear(f"{block}.mlp.fc1", width, 4 * width) | _linear(f"{block}.mlp.fc2", 4 * width, width)
        if i < last:
            shapes[f"visual_encoder.layers.{i}.downsample.reduction.weight"] = (2 * width, 4 * width)
            shapes |= _norm(f"visual_encoder.layers.{i}.downsample.norm", 4 * width)
    return shapes | _norm("visual_encoder.norm", size["embed"] * 2**last)


def _attention(name: str, width: int, context: int) -> Shapes:
    shapes = _linear(f"{name}.self.query", width, width) | _linear(f"{name}.self.key", context, width)
    shapes |= _linear(f"{name}.self.value", context, width) | _linear(f"{name}.output.dense", width, width)
    return shapes | _norm(f"{name}.output.LayerNorm", width)


def _bert(name: str, size: dict, num_layers: int, context: int, self_attention: bool = True) -> Shapes:
    width, shapes = size["width"], Shapes()
    for i in range(num_layers):
        layer = f"{name}.encoder.layer.{i}"
        if self_attention:
            shapes |= _attention(f"{layer}.attention", width, width)
        shapes |= _attention(f"{layer}.crossattention", width, context)
        shapes |= _linear(f"{layer}.intermediate.dense", width, 4 * width)
        shapes |= _linear(f"{layer}.output.dense", 4 * width, width) | _norm(f"{layer}.output.LayerNorm", width)
    if self_attention:
        shapes[f"{name}.embeddings.word_embeddings.weight"] = (size["pieces"], width)
        shapes[f"{name}.embeddings.position_embeddings.weight"] = (512, width)
        shapes[f"{name}.embeddings.position_ids"] = (1, 512)
        shapes |= _norm(f"{name}.embeddings.LayerNorm", width)
    return shapes


def published_shapes(
    family: str, size: dict, num_tags: int, num_descriptions: int, num_caption_layers: int = 12
) -> Shapes:
    """Names and shapes of a published checkpoint, spelled out from the architecture."""
    vision, width, pieces = size["embed"] * 2 ** (len(size["depths"]) - 1), size["width"], size["pieces"]
    context = vision if family == "tag2text" else size["embedding"]
    shapes = _swin(size) | _bert("tagging_head", size, 2, context, self_attention=False)
    if family == "tag2text":
        shapes |= {"label_embed.weight": (num_tags, width), "fc.W": (1, num_tags, width), "fc.b": (1, num_tags)}
    else:
        rows = num_tags * num_descriptions if family == "ram_plus" else num_tags
        shapes |= {"label_embed": (rows, size["embedding"])} | _linear("wordvec_proj", size["embedding"], width)
        shapes |= _linear("fc", width, 1) | _linear("image_proj", vision, size["embedding"])
    if family == "ram_plus":
        return shapes | {"reweight_scale": ()}
    shapes |= _bert("tag_encoder", size, num_caption_layers, context)
    shapes |= _bert("text_decoder.bert", size, num_caption_layers, width)
    head = "text_decoder.cls.predictions"
    shapes |= _linear(f"{head}.transform.dense", width, width) | _norm(f"{head}.transform.LayerNorm", width)
    return shapes | {f"{head}.bias": (pieces,)} | _linear(f"{head}.decoder", width, pieces)


def random_tensors(
    family: str, num_tags: int = 12, num_descriptions: int = 3, seed: int = 0
) -> dict[str, torch.Tensor]:
    """A tiny checkpoint under the published names; norms and biases differ from 1 and 0."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in published_shapes(family, TINY, num_tags, num_descriptions, num_caption_layers=3).items():
        tensors[name] = torch.randn(shape, generator=generator) * (0.3 if len(shape) > 1 else 0.1)
        if "norm" in name.lower() and name.endswith("weight"):
            tensors[name] += 1
    if family != "tag2text":
        tensors["label_embed"] = torch.nn.functional.normalize(tensors["label_embed"], dim=1)
    if family == "ram_plus":
        tensors["reweight_scale"] = torch.tensor(2.0)
    return tensors


class Reference:
    """The published models from their own tensors: numpy, float64, loops over blocks, windows, heads and tags."""

    def __init__(self, family: str, tensors: dict[str, torch.Tensor], num_tags: int) -> None:
        self.family, self.num_tags = family, num_tags
        self.p = {name: tensor.double().numpy() for name, tensor in tensors.items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.p[f"{name}.weight"].T + self.p.get(f"{name}.bias", 0)

    def norm(self, name: str, x: np.ndarray, eps: float) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return scaled * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def window_attention(self, name: str, x_HWC: np.ndarray, heads: int, window: int, shift: int) -> np.ndarray:
        table = self.p[f"{name}.relative_position_bias_table"]
        side, out = len(x_HWC), np.zeros_like(x_HWC)
        rolled = np.roll(x_HWC, (-shift, -shift), (0, 1))
        for top in range(0, side, window):
            for left in range(0, side, window):
                cells = [(top + i, left + j) for i in range(window) for j in range(window)]
                q, k, v = np.split(self.linear(f"{name}.qkv", np.stack([rolled[c] for c in cells])), 3, axis=1)
                mixed = np.zeros_like(q)
                for h, part in enumerate(np.split(np.arange(q.shape[1]), heads)):
                    logits = q[:, part] @ k[:, part].T / np.sqrt(len(part))
                    for a, (ay, ax) in enumerate(cells):
                        for b, (by, bx) in enumerate(cells):
                            row = (ay - by + window - 1) * (2 * window - 1) + ax - bx + window - 1
                            wrapped = [(y + shift >= side, x + shift >= side) for y, x in ((ay, ax), (by, bx))]
                            logits[a, b] += table[row, h] if wrapped[0] == wrapped[1] else -np.inf
                    share = np.exp(logits - logits.max(1, keepdims=True))
                    mixed[:, part] = share / share.sum(1, keepdims=True) @ v[:, part]
                for cell, row in zip(cells, self.linear(f"{name}.proj", mixed), strict=True):
                    out[cell] = row
        return np.roll(out, (shift, shift), (0, 1))

    def tokens(self, image_CHW: np.ndarray) -> np.ndarray:
        side = image_CHW.shape[1] // 4
        patches = image_CHW.reshape(3, side, 4, side, 4).transpose(1, 3, 0, 2, 4).reshape(side, side, 48)
        root = "visual_encoder"
        x = patches @ self.p[f"{root}.patch_embed.proj.weight"].reshape(-1, 48).T
        x = self.norm(f"{root}.patch_embed.norm", x + self.p[f"{root}.patch_embed.proj.bias"], 1e-5)
        for i, (depth, heads) in enumerate(zip(TINY["depths"], TINY["heads"], strict=True)):
            for j in range(depth):
                block = f"{root}.layers.{i}.blocks.{j}"
                shift = TINY["window"] // 2 if j % 2 and len(x) > TINY["window"] else 0
                inner = self.norm(f"{block}.norm1", x, 1e-5)
                x = x + self.window_attention(f"{block}.attn", inner, heads, TINY["window"], shift)
                x = x + self.feed(f"{block}.mlp.fc1", f"{block}.mlp.fc2", self.norm(f"{block}.norm2", x, 1e-5))
            down = f"{root}.layers.{i}.downsample"
            if f"{down}.reduction.weight" in self.p:
                x = np.concatenate([x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]], axis=-1)
                x = self.linear(f"{down}.reduction", self.norm(f"{down}.norm", x, 1e-5))
        spatial = self.norm(f"{root}.norm", x, 1e-5).reshape(-1, x.shape[-1])
        tokens = np.concatenate([spatial.mean(0, keepdims=True), spatial])
        return tokens if self.family == "tag2text" else self.linear("image_proj", tokens)

    def feed(self, inner: str, outer: str, x: np.ndarray) -> np.ndarray:
        hidden = self.linear(inner, x)
        return self.linear(outer, hidden * 0.5 * (1 + erf(hidden / np.sqrt(2))))

    def query(self, tag: int, pooled: np.ndarray) -> np.ndarray:
        if self.family == "tag2text":
            return self.p["label_embed.weight"][tag]
        embedding = self.p["label_embed"][tag]
        if self.family == "ram_plus":
            descriptions = self.p["label_embed"].reshape(self.num_tags, -1, TINY["embedding"])[tag]
            logits = np.exp(self.p["reweight_scale"]) * (descriptions @ (pooled / np.linalg.norm(pooled)))
            share = np.exp(logits) / np.exp(logits).sum()
            embedding = sum(s * d for s, d in zip(share, descriptions, strict=True))
        return np.maximum(self.linear("wordvec_proj", embedding), 0)

    def logit(self, tag: int, tokens: np.ndarray) -> float:
        x = self.query(tag, tokens[0])
        for i in range(2):
            layer = f"tagging_head.encoder.layer.{i}"
            query, key, value = (
                self.linear(f"{layer}.crossattention.self.{part}", source)
                for part, source in (("query", x), ("key", tokens), ("value", tokens))
            )
            mixed = np.zeros_like(x)
            for part in np.split(np.arange(len(x)), 4):
                logits = key[:, part] @ query[part] / np.sqrt(len(part))
                share = np.exp(logits - logits.max())
                mixed[part] = share / share.sum() @ value[:, part]
            x = x + self.linear(f"{layer}.crossattention.output.dense", mixed)
            x = self.norm(f"{layer}.crossattention.output.LayerNorm", x, 1e-12)
            x = x + self.feed(f"{layer}.intermediate.dense", f"{layer}.output.dense", x)
            x = self.norm(f"{layer}.output.LayerNorm", x, 1e-12)
        if self.family == "tag2text":
            return float(self.p["fc.W"][0, tag] @ x + self.p["fc.b"][0, tag])
        return float(self.linear("fc", x)[0])

    def logits(self, images_BCHW: torch.Tensor) -> np.ndarray:
        tokens = [self.tokens(image) for image in images_BCHW.double().numpy()]
        return np.array([[self.logit(tag, t) for tag in range(self.num_tags)] for t in tokens])


def _model(tensors: dict[str, torch.Tensor], num_tags: int) -> RAM:
    published = Published(tensors)
    params = published.params(None, False, "")
    embedding = published.tag_embeddings(num_tags)
    model = assemble(params, build_preprocess(params), embedding, None, pretrained=False)
    fill(model, published)
    return model.eval()


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("family", ["ram", "ram_plus", "tag2text"])
def test_logits_equal_the_published_model_in_float64_loops(family: str) -> None:
    tensors = random_tensors(family)
    expected = Reference(family, tensors, 12).logits(IMAGES)
    assert expected.std() > 0.1, "logits that are all alike would compare nothing"
    with torch.inference_mode():
        model = _model(tensors, 12)
        np.testing.assert_allclose(model.tag_logits(model.encode(IMAGES)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["ram_plus", "tag2text"])
def test_chunks_and_subsets_of_described_and_learned_tags_are_exact(family: str) -> None:
    model = _model(random_tensors(family), 12)
    with torch.inference_mode():
        tokens_BND = model.encode(IMAGES)
        full = model.tag_logits(tokens_BND)
        some = model.tag_logits(tokens_BND, model.tag_embedding_KE[[7, 2]])
        torch.testing.assert_close(some, full[:, [7, 2]], atol=1e-5, rtol=1e-5)
        model.tag_decoder.num_tags_per_chunk = 5
        torch.testing.assert_close(model.tag_logits(tokens_BND), full, atol=1e-5, rtol=1e-5)
        attention_BKN = model.tag_attention(tokens_BND, torch.tensor([3, 4]))
    torch.testing.assert_close(attention_BKN.sum(-1), torch.ones(2, 2))


def test_one_text_of_a_new_tag_counts_as_a_single_description() -> None:
    model = _model(random_tensors("ram_plus"), 12)
    new_KE = torch.nn.functional.normalize(torch.randn(2, 16, generator=torch.Generator().manual_seed(3)), dim=1)
    with torch.inference_mode():
        tokens_BND = model.encode(IMAGES)
        repeated = model.tag_decoder.from_text(new_KE, model.tag_embedding_KE)
        both = model.tag_logits(tokens_BND, torch.cat([model.tag_embedding_KE, repeated]))
        torch.testing.assert_close(both[:, 12:], model.tag_logits(tokens_BND, new_KE), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "size", "num_tags", "num_tensors", "millions"),
    [
        ("ram", LARGE, 4585, 1042, 508.9),
        ("ram_plus", LARGE, 4585, 402, 332.4),
        ("tag2text", BASE, 3429, 1038, 413.3),
    ],
)
def test_every_tensor_of_the_published_sizes_has_its_place(
    family: str, size: dict, num_tags: int, num_tensors: int, millions: float
) -> None:
    shapes = published_shapes(family, size, num_tags, 51)
    assert len(shapes) == num_tensors
    with torch.device("meta"):
        published = Published({name: torch.empty(shape) for name, shape in shapes.items()})
        params = published.params(None, False, "")
        embedding = published.tag_embeddings(published.num_tags(None))
        model = assemble(params, build_preprocess(params), embedding, None, pretrained=False)
    assert published.family == family
    assert sum(t.numel() for t in published.tensors.values()) / 1e6 == pytest.approx(millions, abs=0.06)
    assert params.image_size == 384
    assert params.image_encoder_options == {}
    assert (params.width, params.num_layers, params.num_heads, params.ffn_ratio) == (768, 2, 4, 4.0)
    own = {"image_encoder.channel_mean_C", "image_encoder.channel_scale_C", "tag_embedding_KE"}
    assert published.fit(model).keys() == model.state_dict().keys() - own


def test_tables_of_224_pixels_are_interpolated_to_384() -> None:
    small = {**BASE, "window": 7, "depths": (2, 2, 18, 2)}
    with torch.device("meta"):
        published = Published({n: torch.empty(s) for n, s in published_shapes("ram", small, 20, 1).items()})
    assert (params := published.params(None, False, "")).image_size == 224
    assert params.image_encoder == "swin_base_patch4_window7_224"
    tensors = random_tensors("ram")
    for name in [n for n in tensors if n.endswith("bias_table")]:  # a function of the distance alone, smooth in it
        y, x = np.meshgrid(np.arange(-3, 4), np.arange(-3, 4), indexing="ij")
        tensors[name][:] = torch.tensor(0.1 * x + 0.2 * y).reshape(-1, 1)
    model = _model(tensors, 12)
    model.set_image_size(64)
    tables = {n: t for n, t in model.state_dict().items() if n.endswith("bias_table")}
    assert {t.shape[0] for t in tables.values()} == {15 * 15}
    for table in tables.values():
        grid = table[:, 0].reshape(15, 15)
        expected = torch.tensor([[-0.3, -0.2, -0.1], [-0.1, 0.0, 0.1], [0.1, 0.2, 0.3]])
        torch.testing.assert_close(grid[6:9, 6:9], expected, atol=1e-5, rtol=0)  # of neighbours nothing changes
        assert grid.diff(dim=0).min() > -1e-5
        assert grid.diff(dim=1).min() > -1e-5
        torch.testing.assert_close(grid, -grid.flip(0, 1), atol=1e-5, rtol=0)
    with torch.inference_mode():
        assert model.tag_logits(model.encode(torch.randn(1, 3, 64, 64))).isfinite().all()


def test_older_names_and_what_lies_beside_the_weights_are_read(tmp_path: Path) -> None:
    tensors = random_tensors("ram")
    old = OrderedDict((n.replace("tagging_head", "vision_multi"), t) for n, t in tensors.items())
    torch.save({"model": old, "optimizer": {"step": 3}, "config": Namespace(lr=1e-4), "epoch": 2}, tmp_path / "a.pth")
    found = read_published(tmp_path / "a.pth")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


class _Runs:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path(self.path),)  # type: ignore[attr-defined]


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    trap = _Runs()
    trap.path = tmp_path / "ran"  # type: ignore[attr-defined]
    torch.save({"model": {}, "config": trap}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"refused: it holds more than tensors.*Unsupported global"):
        read_published(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("document", "says"),
    [([1, 2], "list"), ({"model": {"a": 1}}, "named tensors"), ({"epoch": 3}, "epoch")],
)
def test_what_is_no_state_dict_is_refused_by_what_it_holds(tmp_path: Path, document: object, says: str) -> None:
    torch.save(document, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=says):
        read_published(tmp_path / "a.pth")


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    torch.save({"model": random_tensors("ram")}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:5000])
    (tmp_path / "c.pth").write_bytes(pickle.dumps({"model": 1})[:7])
    for name in ("b.pth", "c.pth"):
        with pytest.raises(ValueError, match=rf"{name} is (broken|refused)"):
            read_published(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("wordvec_proj.bias"), r"wordvec_proj\.bias is missing \(expected \(48,\)\)"),
        (lambda t: t.pop("image_proj.weight"), r"image_proj\.weight is missing"),
        (lambda t: t.update({"fc.bias": torch.zeros(2)}), r"fc\.bias is \(2,\) \(expected \(1,\)\)"),
        (lambda t: t.update({"other.weight": torch.zeros(3, 2)}), r"other\.weight \(3, 2\) is unknown"),
        (lambda t: [t.pop(n) for n in list(t) if "layers.0.blocks.0.mlp" in n], "4 tensors do not fit"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(change: object, says: str) -> None:
    tensors = random_tensors("ram")
    change(tensors)  # type: ignore[operator]
    with pytest.raises(ValueError, match=says):
        _model(tensors, 12)
