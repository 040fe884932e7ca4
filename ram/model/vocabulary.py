"""Captions <-> word pieces: BERT's vocabulary, or one learned from the captions themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from ram.model.packages import is_package_spec, package_path

# B texts, L word pieces

PAD, UNKNOWN, END = "[PAD]", "[UNK]", "[SEP]"
ENCODE, DECODE = "[ENC]", "[DEC]"  # what the tags and what a caption begin with (BLIP's additions to BERT's vocabulary)
_BERT_SPECIAL = (PAD, UNKNOWN, "[CLS]", END, "[MASK]")
MAX_CAPTION_WORDS = 30


class WordPieces:
    """A tokenizer with BERT's special tokens, `[ENC]` and `[DEC]`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        if missing := [token for token in (PAD, UNKNOWN, END) if tokenizer.token_to_id(token) is None]:
            raise ValueError(f"the caption vocabulary lacks {', '.join(missing)}; give a BERT tokenizer")
        tokenizer.add_special_tokens([ENCODE, DECODE])
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.pad_id, self.end_id = self.start_id(PAD), self.start_id(END)
        special = {*_BERT_SPECIAL, ENCODE, DECODE} - {END}
        self.unwritable_ids = sorted(i for i in map(tokenizer.token_to_id, special) if i is not None)

    @property
    def size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str], start: str, max_tokens: int) -> tuple[Tensor, Tensor]:
        """ids_BL, int64, and mask_BL, true where there is a piece: start, text, end, at most `max_tokens`."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        start_id = self.start_id(start)
        rows = [[start_id, *pieces.ids[: max_tokens - 2], self.end_id] for pieces in encoded]
        ids_BL = torch.full((len(rows), max(map(len, rows), default=2)), self.pad_id)
        for i, row in enumerate(rows):
            ids_BL[i, : len(row)] = torch.tensor(row)
        return ids_BL, ids_BL.ne(self.pad_id)

    def start_id(self, start: str) -> int:
        """The id of a special token, such as `[ENC]` or `[DEC]`."""
        token_id = self._tokenizer.token_to_id(start)
        assert token_id is not None, start
        return token_id

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def to_json(self) -> str:
        return self._tokenizer.to_str()

    @classmethod
    def from_json(cls, text: str) -> WordPieces:
        return cls(Tokenizer.from_str(text))


def make_word_pieces(vocabulary: str, size: int, captions: Iterable[str] | None) -> WordPieces:
    """The word pieces that `vocabulary` names: `corpus` (learned from `captions`), `package:…`, a path or a hub id."""
    if vocabulary == "corpus":
        if captions is None:
            raise ValueError('caption.vocabulary is "corpus": give the captions to learn word pieces from')
        return train_word_pieces(captions, size)
    return WordPieces(_load_tokenizer(vocabulary))


def published_word_pieces(vocabulary: str) -> WordPieces:
    """BERT's word pieces with `[DEC]` numbered before `[ENC]`, as published caption branches have them."""
    tokenizer = _load_tokenizer(vocabulary)
    tokenizer.add_special_tokens([DECODE])
    return WordPieces(tokenizer)


def train_word_pieces(captions: Iterable[str], size: int) -> WordPieces:
    """Learn at most `size` word pieces, special ones included; the same captions give the same pieces."""
    cleaned = [clean_caption(caption) for caption in captions]
    learner = _bert_tokenizer(models.WordPiece(unk_token=UNKNOWN))
    characters = {c for text in set(cleaned) for c in learner.normalizer.normalize_str(text) if not c.isspace()}
    # The trainer numbers the pieces ##a, ##b … as its hash tables give them, and breaks ties by number: fixed here.
    inner = [f"##{character}" for character in sorted(characters)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size - 2,  # [ENC] and [DEC] come on top
        special_tokens=[*_BERT_SPECIAL, *inner],
        show_progress=False,
    )
    learner.train_from_iterator(cleaned, trainer)
    if not characters:
        raise ValueError("there are no captions to learn word pieces from")
    tokenizer = _bert_tokenizer(models.WordPiece(learner.get_vocab(), unk_token=UNKNOWN))
    tokenizer.add_special_tokens(list(_BERT_SPECIAL))
    return WordPieces(tokenizer)


def clean_caption(caption: str) -> str:
    """Lower case, without the signs that carry no words, at most 30 words (RAM's preparation of captions)."""
    return " ".join(re.sub(r"[.!\"()*#:;~]+", " ", caption.lower()).split()[:MAX_CAPTION_WORDS])


def _bert_tokenizer(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _load_tokenizer(source: str) -> Tokenizer:
    path = package_path(source) if is_package_spec(source) else Path(source)
    if path.is_dir():
        path = path / ("tokenizer.json" if (path / "tokenizer.json").is_file() else "vocab.txt")
    if path.is_file() and path.suffix == ".txt":
        vocab = {piece: i for i, piece in enumerate(path.read_text(encoding="utf-8").splitlines())}
        tokenizer = _bert_tokenizer(models.WordPiece(vocab, unk_token=UNKNOWN))
        tokenizer.add_special_tokens([token for token in _BERT_SPECIAL if token in vocab])
        return tokenizer
    if path.is_file():
        return Tokenizer.from_file(str(path))
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, use_fast=True).backend_tokenizer
    except OSError as error:
        raise ValueError(f"no BERT tokenizer at {source!r}, neither a file nor a hub id: {error}") from error
