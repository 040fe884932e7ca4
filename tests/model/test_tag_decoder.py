from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from ram.model.tag_decoder import TagDecoder

# B images, N image tokens, K tags, D token width, E text embedding width, W decoder width


def _decoder(**changes: object) -> TagDecoder:
    torch.manual_seed(0)
    options = {
        "embedding_width": 6, "token_width": 5, "width": 8, "num_layers": 2, "num_heads": 2, "ffn_ratio": 2.0,
        "pre_norm": False, "dropout": 0.1, "initial_score": 0.1,
    }  # fmt: skip
    decoder = TagDecoder(**{**options, **changes}).eval()
    for parameter in decoder.parameters():  # norms and biases that differ from 1 and 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    return decoder


def _inputs(num_images: int = 2, num_tokens: int = 4, num_tags: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens_BND = torch.randn(num_images, num_tokens, 5, generator=generator)
    return tokens_BND, torch.nn.functional.normalize(torch.randn(num_tags, 6, generator=generator), dim=1)


class _Reference:
    """The decoder of the paper with loops over images, tags and heads, in float64."""

    def __init__(self, decoder: TagDecoder, pre_norm: bool) -> None:
        self.p = {name: tensor.detach().double().numpy() for name, tensor in decoder.state_dict().items()}
        self.heads, self.layers, self.pre_norm = decoder.num_heads, len(decoder.layer), pre_norm
        self.attention: dict[tuple[int, int], np.ndarray] = {}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.p[f"{name}.weight"] @ x + self.p[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centered = x - x.mean()
        scaled = centered / np.sqrt((centered**2).mean() + 1e-12)
        return scaled * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def cross_attention(self, name: str, x: np.ndarray, tokens_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        query = self.linear(f"{name}.query", x).reshape(self.heads, -1)
        mixed, weights = [], []
        for head in range(self.heads):
            keys = [self.linear(f"{name}.key", token).reshape(self.heads, -1)[head] for token in tokens_ND]
            values = [self.linear(f"{name}.value", token).reshape(self.heads, -1)[head] for token in tokens_ND]
            logits = np.array([query[head] @ key / np.sqrt(len(key)) for key in keys])
            share = np.exp(logits) / np.exp(logits).sum()
            weights.append(share)
            mixed.append(sum(s * v for s, v in zip(share, values, strict=True)))
        return self.linear(f"{name}.dense", np.concatenate(mixed)), np.mean(weights, axis=0)

    def feed_forward(self, name: str, x: np.ndarray) -> np.ndarray:
        inner = self.linear(f"{name}.intermediate", x)
        return self.linear(f"{name}.output", inner * 0.5 * (1 + erf(inner / np.sqrt(2))))

    def logits(self, tokens_BND: torch.Tensor, embedding_KE: torch.Tensor) -> np.ndarray:
        out = np.zeros((len(tokens_BND), len(embedding_KE)))
        for b, tokens_ND in enumerate(tokens_BND.double().numpy()):
            for k, embedding in enumerate(embedding_KE.double().numpy()):
                x = np.maximum(self.linear("query_proj", embedding), 0)
                for i in range(self.layers):
                    attend, feed = f"layer.{i}.crossattention", f"layer.{i}.feed_forward"
                    if self.pre_norm:
                        change, weights = self.cross_attention(attend, self.norm(f"{attend}.LayerNorm", x), tokens_ND)
                        x = x + change
                        x = x + self.feed_forward(feed, self.norm(f"{feed}.LayerNorm", x))
                    else:
                        change, weights = self.cross_attention(attend, x, tokens_ND)
                        x = self.norm(f"{attend}.LayerNorm", x + change)
                        x = self.norm(f"{feed}.LayerNorm", x + self.feed_forward(feed, x))
                self.attention[b, k] = weights[1:] / weights[1:].sum()
                out[b, k] = self.linear("fc", self.norm("final_norm", x) if self.pre_norm else x)[0]
        return out


@pytest.mark.parametrize("pre_norm", [False, True])
def test_logits_and_attention_equal_loops_in_float64(pre_norm: bool) -> None:
    decoder = _decoder(pre_norm=pre_norm)
    tokens_BND, embedding_KE = _inputs()
    reference = _Reference(decoder, pre_norm)
    with torch.inference_mode():
        np.testing.assert_allclose(
            decoder(tokens_BND, embedding_KE), reference.logits(tokens_BND, embedding_KE), atol=2e-5
        )
        attention_BKN = decoder.attention(tokens_BND, embedding_KE).numpy()
    for (b, k), weights in reference.attention.items():
        np.testing.assert_allclose(attention_BKN[b, k], weights, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    chunk=st.integers(1, 9),
    pre_norm=st.booleans(),
    subset=st.lists(st.integers(0, 8), min_size=1, max_size=9, unique=True),
)
def test_chunks_and_subsets_give_the_logits_of_the_full_run(chunk: int, pre_norm: bool, subset: list[int]) -> None:
    decoder = _decoder(pre_norm=pre_norm)
    tokens_BND, embedding_KE = _inputs(num_tags=9)
    with torch.inference_mode():
        full = decoder(tokens_BND, embedding_KE)
        torch.testing.assert_close(decoder(tokens_BND, embedding_KE[subset]), full[:, subset], atol=1e-5, rtol=1e-5)
        decoder.num_tags_per_chunk = chunk
        torch.testing.assert_close(decoder(tokens_BND, embedding_KE), full, atol=1e-5, rtol=1e-5)


def test_an_image_gets_the_same_logits_alone_and_in_a_batch() -> None:
    decoder = _decoder()
    tokens_BND, embedding_KE = _inputs(num_images=3)
    with torch.inference_mode():
        together = decoder(tokens_BND, embedding_KE)
        alone = torch.cat([decoder(tokens_BND[i : i + 1], embedding_KE) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_an_untrained_decoder_scores_about_the_initial_score() -> None:
    torch.manual_seed(0)
    decoder = TagDecoder(
        embedding_width=6, token_width=5, width=64, num_layers=2, num_heads=2, ffn_ratio=2.0, pre_norm=True,
        dropout=0.0, initial_score=0.02,
    ).eval()  # fmt: skip
    tokens_BND, embedding_KE = _inputs(num_tags=50)
    decoder.fc.weight.data.zero_()
    torch.testing.assert_close(decoder(tokens_BND, embedding_KE).sigmoid(), torch.full((2, 50), 0.02))


def test_gradients_with_chunks_equal_those_without() -> None:
    tokens_BND, embedding_KE = _inputs()
    gradients = []
    for chunk in (0, 2):
        decoder = _decoder(num_tags_per_chunk=chunk)
        decoder(tokens_BND, embedding_KE).square().sum().backward()
        gradients.append([p.grad for p in decoder.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
