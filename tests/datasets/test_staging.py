from __future__ import annotations

from ram.datasets.staging import tidy_captions


def test_white_space_and_control_characters_become_single_spaces() -> None:
    assert tidy_captions(("  a \t dog\x00\n runs ",)) == (["a dog runs"], [])


def test_captions_without_words_or_twice_the_same_are_left_out_with_their_place() -> None:
    kept, problems = tidy_captions(("a dog", " ", "...", "a  dog", "ein Hündchen"))
    assert kept == ["a dog", "ein Hündchen"]
    assert [reason for reason, _ in problems] == ["empty_caption", "empty_caption", "repeated_caption"]
    assert problems[2][1] == "caption 3 is caption 0 again"
