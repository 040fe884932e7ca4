from __future__ import annotations

from pathlib import Path

import published_models
import pytest
import torch

from ram.cli.import_checkpoint import convert
from ram.model.checkpoint import load_checkpoint
from ram.model.ram import RAM

# B images, L pieces of the caption, M pieces of the tags, W width

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NAMES = [f"tag{letter}" for letter in "abcdefghijkl"]


def _import(tmp_path: Path, family: str, tensors: dict[str, torch.Tensor]) -> RAM:
    pieces = SPECIAL + [f"word{i}" for i in range(published_models.TINY["pieces"] - 2 - len(SPECIAL))]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    (tmp_path / "tags.txt").write_text("\n".join(NAMES))
    torch.save({"model": tensors}, tmp_path / "a.pth")
    convert(
        tmp_path / "a.pth", tmp_path / "out", captions=True, tag_list=tmp_path / "tags.txt",
        vocabulary=str(tmp_path / "vocab.txt"),
    )  # fmt: skip
    return load_checkpoint(tmp_path / "out").model


@pytest.mark.parametrize("family", ["ram", "tag2text"])
def test_the_caption_decoder_gives_the_logits_of_bert_with_the_same_weights(tmp_path: Path, family: str) -> None:
    from transformers import BertConfig, BertLMHeadModel

    tensors = published_models.random_tensors(family)
    head = "text_decoder.cls.predictions"
    tensors[f"{head}.decoder.weight"] = tensors["text_decoder.bert.embeddings.word_embeddings.weight"]  # tied
    tensors[f"{head}.decoder.bias"] = tensors[f"{head}.bias"]
    branch = _import(tmp_path, family, tensors).caption_branch
    assert branch is not None
    width = published_models.TINY["width"]
    config = BertConfig(
        vocab_size=published_models.TINY["pieces"], hidden_size=width, num_hidden_layers=3, num_attention_heads=12,
        intermediate_size=4 * width, is_decoder=True, add_cross_attention=True, type_vocab_size=1,
    )  # fmt: skip
    bert = BertLMHeadModel(config).eval()
    own = {n.removeprefix("text_decoder."): t for n, t in tensors.items() if n.startswith("text_decoder.")}
    missing, unexpected = bert.load_state_dict(own, strict=False)
    assert set(missing) <= {"bert.embeddings.token_type_embeddings.weight"}
    assert set(unexpected) <= {"bert.embeddings.position_ids"}
    bert.bert.embeddings.token_type_embeddings.weight.data.zero_()  # BLIP's BERT has none
    generator = torch.Generator().manual_seed(3)
    context_BMW = torch.randn(2, 5, width, generator=generator)
    ids_BL = torch.randint(5, published_models.TINY["pieces"], (2, 7), generator=generator)
    mask_BM = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    with torch.inference_mode():
        logits_BLV, _ = branch.decode(ids_BL, branch.project_context(context_BMW), mask_BM)
        expected = bert(
            ids_BL, encoder_hidden_states=context_BMW, encoder_attention_mask=mask_BM.long(), use_cache=False
        ).logits
    torch.testing.assert_close(logits_BLV, expected, atol=1e-4, rtol=1e-4)


def test_word_pieces_are_numbered_as_the_published_ones(tmp_path: Path) -> None:
    branch = _import(tmp_path, "ram", published_models.random_tensors("ram")).caption_branch
    assert branch is not None
    size = published_models.TINY["pieces"]
    assert branch.word_pieces.size == size
    assert (branch.word_pieces.start_id("[DEC]"), branch.word_pieces.start_id("[ENC]")) == (size - 2, size - 1)


def test_an_imported_model_captions(tmp_path: Path) -> None:
    model = _import(tmp_path, "tag2text", published_models.random_tensors("tag2text"))
    with torch.inference_mode():
        tokens_BND = model.encode(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5)))
        captions, log_probabilities = model.generate_captions(tokens_BND, [["word1", "word2"], ["word3"]], num_beams=3)
    assert len(captions) == 2
    assert all(value <= 0 for value in log_probabilities)


def test_a_file_without_a_caption_branch_is_refused_when_captions_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it cannot caption"):
        _import(tmp_path, "ram_plus", published_models.random_tensors("ram_plus"))


@pytest.mark.parametrize("family", ["ram", "tag2text"])
def test_the_tag_encoder_gives_the_states_of_bert_with_the_same_weights(tmp_path: Path, family: str) -> None:
    from transformers import BertConfig, BertModel

    tensors = published_models.random_tensors(family)
    for name in [n for n in tensors if n.startswith("tagging_head.")]:  # tied, as in every published file
        tensors[name.replace("tagging_head.", "tag_encoder.")] = tensors[name]
    model = _import(tmp_path, family, tensors)
    branch, width = model.caption_branch, published_models.TINY["width"]
    assert branch is not None
    bert = BertModel(
        BertConfig(
            vocab_size=published_models.TINY["pieces"], hidden_size=width, num_hidden_layers=3, num_attention_heads=12,
            intermediate_size=4 * width, is_decoder=True, add_cross_attention=True, type_vocab_size=1,
            attn_implementation="eager",
        ),
        add_pooling_layer=False,
    ).eval()  # fmt: skip
    for layer in bert.encoder.layer:  # BLIP's BERT looks at image tokens of their own width
        layer.crossattention.self.key = torch.nn.Linear(model.image_encoder.token_width, width)
        layer.crossattention.self.value = torch.nn.Linear(model.image_encoder.token_width, width)
    own = {n.removeprefix("tag_encoder."): t for n, t in tensors.items() if n.startswith("tag_encoder.")}
    missing, unexpected = bert.load_state_dict(own, strict=False)
    assert set(missing) <= {"embeddings.token_type_embeddings.weight"}
    assert set(unexpected) <= {"embeddings.position_ids"}
    bert.embeddings.token_type_embeddings.weight.data.zero_()
    tokens_BND = torch.randn(2, 6, model.image_encoder.token_width, generator=torch.Generator().manual_seed(3))
    texts = [["word1", "word2", "word3"], ["word4"]]
    with torch.inference_mode():
        states_BMW, mask_BM = branch.encode_tags(tokens_BND, texts, model.tag_decoder)
        ids_BM, _ = branch.word_pieces.encode([" | ".join(t) for t in texts], "[ENC]", 40)
        both_ways = torch.zeros(len(texts), 1, ids_BM.shape[1], ids_BM.shape[1])
        both_ways = both_ways.masked_fill(~mask_BM[:, None, None], torch.finfo(torch.float32).min)
        expected = bert(
            ids_BM, attention_mask=both_ways, encoder_hidden_states=tokens_BND, use_cache=False
        ).last_hidden_state
    torch.testing.assert_close(states_BMW[mask_BM], expected[mask_BM], atol=1e-4, rtol=1e-4)
