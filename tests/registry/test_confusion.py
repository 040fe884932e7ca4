from __future__ import annotations

import numpy as np

from ram.registry.confusion import confusion_counts, confusions, said_at


def test_counts_are_images_that_miss_the_one_and_wrongly_have_the_other() -> None:
    generator = np.random.default_rng(0)
    said, positive = (generator.random((50, 4)) < 0.4 for _ in range(2))
    counts, expected = confusion_counts(said, positive)
    for a in range(4):
        for b in range(4):
            missed = [positive[n, a] and not said[n, a] for n in range(50)]
            wrong = [said[n, b] and not positive[n, b] for n in range(50)]
            assert counts[a, b] == sum(m and w for m, w in zip(missed, wrong, strict=True))
            assert np.isclose(expected[a, b], sum(missed) * sum(wrong) / 50)


def test_a_name_said_instead_of_another_comes_before_one_said_everywhere() -> None:
    names = ["cat", "dog", "sky"]
    positive = np.zeros((40, 3), dtype=bool)
    positive[:10, 0] = True  # cats, of which six are taken for dogs
    said = np.zeros_like(positive)
    said[:4, 0] = said[4:10, 1] = said[:, 2] = True
    pairs = confusions(said, positive, names, 5)
    assert pairs.iloc[0].to_dict() == {
        "missed": "cat", "said": "dog", "num_images": 6, "num_expected": 0.9, "num_positives": 10,
    }  # fmt: skip
    assert "sky" not in set(pairs["said"])


def test_a_model_without_mistakes_confuses_nothing() -> None:
    positive = np.eye(3, dtype=bool)
    assert len(confusions(positive, positive, ["a", "b", "c"], 5)) == 0


def test_a_name_is_said_from_its_tags_threshold_on() -> None:
    thresholds = {"tags": {"dog": 0.9}, "default": 0.5, "open_set": 0.2}
    scores = np.array([[0.8, 0.8, 0.3], [0.95, 0.4, 0.1]])
    said = said_at(scores, ["puppy", "cat", "spaceship"], ["dog", "cat", None], thresholds)
    assert said.tolist() == [[False, True, True], [True, False, False]]
