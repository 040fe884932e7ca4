from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ram.io.tables import write_json, write_table
from ram.pipeline.catalog import artifact
from ram.registry.promotion.paired import NAMES_FILE, SCORES_DIR, ImageScores, compare

NAMES, KINDS = ["dog", "cat", "red"], ["object", "object", "attribute"]


def _labels(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((num, len(NAMES))) < 0.3


def _scores(positive_NK: np.ndarray, noise: float, seed: int) -> ImageScores:
    scores = positive_NK + np.random.default_rng(seed).normal(0, noise, positive_NK.shape)
    return ImageScores(NAMES, KINDS, [f"p{i}" for i in range(len(positive_NK))], scores, positive_NK)


def _mean_ap(found: ImageScores) -> float:
    return float(np.mean([average_precision_score(found.positive_NK[:, k], found.scores_NK[:, k]) for k in range(3)]))


def test_the_gain_is_the_difference_of_the_two_maps_by_scikit_learn() -> None:
    positive_NK = _labels(200)
    better, worse = _scores(positive_NK, 0.5, 1), _scores(positive_NK, 1.0, 2)
    found = compare(better, worse, 0.95, 100, 20)
    assert found.gain == pytest.approx(_mean_ap(better) - _mean_ap(worse))
    assert found.low < found.gain
    assert found.share_better == 1.0
    change = found.tags["dog"]
    dog = [average_precision_score(s.positive_NK[:, 0], s.scores_NK[:, 0]) for s in (worse, better)]
    assert (change.before, change.after) == pytest.approx(tuple(dog))
    assert set(found.kinds) == {"object", "attribute"}


def test_the_bound_is_that_of_a_bootstrap_done_by_hand() -> None:
    positive_NK = _labels(80)
    a, b = _scores(positive_NK, 0.8, 1), _scores(positive_NK, 0.9, 2)
    found = compare(a, b, 0.9, 400, 1)
    gains, generator = [], np.random.default_rng(99)  # other draws than those of `compare`
    for _ in range(400):
        rows = generator.integers(80, size=80)
        resampled = [ImageScores(NAMES, KINDS, [], s.scores_NK[rows], s.positive_NK[rows]) for s in (a, b)]
        gains.append(_mean_ap(resampled[0]) - _mean_ap(resampled[1]))
    expected = np.quantile(gains, 0.1) - np.mean(gains) + found.gain
    assert found.low == pytest.approx(expected, abs=0.01)


def test_equal_models_are_seldom_told_apart_and_pairing_makes_the_bound_far_tighter() -> None:
    false_alarms = 0
    for seed in range(40):
        positive_NK = _labels(150, seed)
        found = compare(_scores(positive_NK, 0.8, seed + 1), _scores(positive_NK, 0.8, seed + 1000), 0.95, 60, 20)
        false_alarms += found.low > 0
    assert false_alarms <= 7  # 2 are to be expected; 8 or more would come once in a thousand times
    positive_NK = _labels(300)
    one = _scores(positive_NK, 0.8, 1)
    nudged = ImageScores(NAMES, KINDS, one.image_ids, one.scores_NK + 0.05 * positive_NK, positive_NK)
    found = compare(nudged, one, 0.95, 100, 20)
    assert 0 < found.low < found.gain < 0.05


def test_the_order_of_images_and_names_does_not_matter_and_other_labels_are_refused() -> None:
    positive_NK = _labels(60)
    a, b = _scores(positive_NK, 0.5, 1), _scores(positive_NK, 0.9, 2)
    rows, columns = np.random.default_rng(0).permutation(60), [2, 0, 1]
    shuffled = ImageScores(
        [NAMES[k] for k in columns],
        [KINDS[k] for k in columns],
        [b.image_ids[i] for i in rows],
        b.scores_NK[np.ix_(rows, columns)],
        b.positive_NK[np.ix_(rows, columns)],
    )
    assert compare(a, shuffled, 0.9, 20, 5) == compare(a, b, 0.9, 20, 5)
    other = ImageScores(NAMES, KINDS, b.image_ids, b.scores_NK, ~b.positive_NK)
    with pytest.raises(ValueError, match="other images or labels"):
        compare(a, other, 0.9, 20, 5)
    fewer = ImageScores(NAMES, KINDS, b.image_ids[1:], b.scores_NK[1:], b.positive_NK[1:])
    with pytest.raises(ValueError, match="other images or labels"):
        compare(a, fewer, 0.9, 20, 5)


def test_what_was_written_is_read_benchmark_by_benchmark(tmp_path: Path) -> None:
    schema = artifact("test_scores").schema
    assert schema is not None
    rows = [
        {"benchmark": b, "image_id": f"{b}{i}", "scores": [i / 8] * k, "positive": [i == 1] * k}
        for b, k in (("a", 2), ("b", 3))
        for i in range(3)
    ]
    write_table(rows, tmp_path / SCORES_DIR, schema)
    listed = {b: {"names": ["x", "y", "z"][:k], "kinds": ["object"] * k} for b, k in (("a", 2), ("b", 3))}
    write_json(listed, tmp_path / NAMES_FILE)
    found = ImageScores.read(tmp_path, "b")
    assert found.image_ids == ["b0", "b1", "b2"]
    assert found.scores_NK.tolist() == [[0.0] * 3, [0.125] * 3, [0.25] * 3]
    assert found.positive_NK[:, 0].tolist() == [False, True, False]
    with pytest.raises(ValueError, match="no test scores of benchmark 'c'; there are some of: a, b"):
        ImageScores.read(tmp_path, "c")
