from __future__ import annotations

import pickle
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import published_models
import pytest
import torch

import ram.training.setup as assemble_module
from ram.labels import LabelSystem, Tag
from ram.model.build import assemble, build_preprocess
from ram.model.published import Published, fill, read_published
from ram.model.ram import RAM
from ram.training import validation as dev


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
    tensors = published_models.random_tensors(family)
    expected = published_models.Reference(family, tensors, 12).logits(IMAGES)
    assert expected.std() > 0.1, "logits that are all alike would compare nothing"
    with torch.inference_mode():
        model = _model(tensors, 12)
        np.testing.assert_allclose(model.tag_logits(model.encode(IMAGES)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["ram_plus", "tag2text"])
def test_chunks_and_subsets_of_described_and_learned_tags_are_exact(family: str) -> None:
    model = _model(published_models.random_tensors(family), 12)
    with torch.inference_mode():
        tokens_BND = model.encode(IMAGES)
        full = model.tag_logits(tokens_BND)
        some = model.tag_logits(tokens_BND, model.tag_embedding_KE[[7, 2]])
        torch.testing.assert_close(some, full[:, [7, 2]], atol=1e-5, rtol=1e-5)
        model.tag_decoder.num_tags_per_chunk = 5
        torch.testing.assert_close(model.tag_logits(tokens_BND), full, atol=1e-5, rtol=1e-5)
        attention_BKN = model.tag_attention(tokens_BND, torch.tensor([3, 4]))
    torch.testing.assert_close(attention_BKN.sum(-1), torch.ones(2, 2))


def test_the_learned_tags_of_a_published_model_go_on_learning() -> None:
    model = _model(published_models.random_tensors("tag2text"), 12)
    rows = model.tag_embedding_KE
    assert isinstance(rows, torch.nn.Parameter)
    tokens_BND = model.encode(IMAGES).detach()
    first = model.tag_logits(tokens_BND)
    first.square().sum().backward()
    with torch.no_grad():
        rows -= 1e-3 * rows.grad
    assert model.tag_logits(tokens_BND).square().sum() < first.square().sum()


def test_one_text_of_a_new_tag_counts_as_a_single_description() -> None:
    model = _model(published_models.random_tensors("ram_plus"), 12)
    new_KE = torch.nn.functional.normalize(torch.randn(2, 16, generator=torch.Generator().manual_seed(3)), dim=1)
    with torch.inference_mode():
        tokens_BND = model.encode(IMAGES)
        repeated = model.tag_decoder.from_text(new_KE, model.tag_embedding_KE)
        both = model.tag_logits(tokens_BND, torch.cat([model.tag_embedding_KE, repeated]))
        torch.testing.assert_close(both[:, 12:], model.tag_logits(tokens_BND, new_KE), atol=1e-5, rtol=1e-5)


class _Encoder:
    def embed(self, names: list[str], templates: str) -> np.ndarray:
        rows = np.random.default_rng(4).standard_normal((len(names), 16)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_tags_that_training_adds_stand_beside_described_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(published_models.random_tensors("ram_plus"), 12)
    names = [*(f"own {i}" for i in range(12)), "lynx", "moose"]
    label_system = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(names)])
    for module in (assemble_module, dev):
        monkeypatch.setattr(module, "make_text_encoder", lambda _: _Encoder())
    own_names = LabelSystem(label_system.tags[:12])
    with torch.inference_mode():
        tokens_BND = model.encode(IMAGES)
        before = model.tag_logits(tokens_BND)
        unknown_KE = torch.from_numpy(dev.embed_names(model, own_names, ["own 3", "lynx"]))
        assemble_module.add_tags(model, label_system)
        after = model.tag_logits(tokens_BND)
        torch.testing.assert_close(after[:, :12], before, atol=1e-5, rtol=1e-5)
        alone = model.tag_logits(tokens_BND, torch.from_numpy(_Encoder().embed(names[12:], "")))
        torch.testing.assert_close(after[:, 12:], alone, atol=1e-5, rtol=1e-5)
        assert unknown_KE.shape[1:] == model.tag_embedding_KE.shape[1:]


@pytest.mark.parametrize(
    ("family", "size", "num_tags", "num_tensors", "millions"),
    [
        ("ram", published_models.LARGE, 4585, 1042, 508.9),
        ("ram_plus", published_models.LARGE, 4585, 402, 332.4),
        ("tag2text", published_models.BASE, 3429, 1038, 413.3),
    ],
)
def test_every_tensor_of_the_published_sizes_has_its_place(
    family: str, size: dict, num_tags: int, num_tensors: int, millions: float
) -> None:
    shapes = published_models.published_shapes(family, size, num_tags, 51)
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
    small = {**published_models.BASE, "window": 7, "depths": (2, 2, 18, 2)}
    with torch.device("meta"):
        published = Published(
            {n: torch.empty(s) for n, s in published_models.published_shapes("ram", small, 20, 1).items()}
        )
    assert (params := published.params(None, False, "")).image_size == 224
    assert params.image_encoder == "swin_base_patch4_window7_224"
    tensors = published_models.random_tensors("ram")
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
        torch.testing.assert_close(grid[6:9, 6:9], expected, atol=1e-5, rtol=0)  # of neighbors nothing changes
        assert grid.diff(dim=0).min() > -1e-5
        assert grid.diff(dim=1).min() > -1e-5
        torch.testing.assert_close(grid, -grid.flip(0, 1), atol=1e-5, rtol=0)
    with torch.inference_mode():
        assert model.tag_logits(model.encode(torch.randn(1, 3, 64, 64))).isfinite().all()


def test_older_names_and_what_lies_beside_the_weights_are_read(tmp_path: Path) -> None:
    tensors = published_models.random_tensors("ram")
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
    torch.save({"model": published_models.random_tensors("ram")}, tmp_path / "a.pth")
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
    tensors = published_models.random_tensors("ram")
    change(tensors)  # type: ignore[operator]
    with pytest.raises(ValueError, match=says):
        _model(tensors, 12)
