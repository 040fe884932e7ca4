from __future__ import annotations

import numpy as np
import pytest

from ram.evaluation.average_precision import average_precisions
from ram.evaluation.columns import POSITIVE
from ram.evaluation.judge import Options, band_of, difference, judge
from ram.evaluation.label_formats import Labeled
from ram.evaluation.leaks import Leak
from ram.evaluation.mapping import MappedName
from ram.labels import Tag

NAMES = ("dog", "cat", "red", "run", "nothing")
MAPPING = [
    MappedName("dog", (Tag(tag_id=0, name="dog", frequency=5000),), "name"),
    MappedName("cat", (Tag(tag_id=1, name="cat", frequency=40), Tag(tag_id=2, name="kitten", frequency=3)), "reviewed"),
    MappedName("red", (Tag(tag_id=3, name="red", kind="attribute", frequency=7),), "name"),
    MappedName("run", (), "text"),
    MappedName("nothing", (), "text"),
]


USUAL = Options(num_resamples=20)


def made(num: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Labeled]:
    generator = np.random.default_rng(seed)
    positive = generator.random((num, 5)) < [0.3, 0.2, 0.1, 0.2, 0.0]
    scores = (generator.random((num, 5)) * 0.6 + 0.4 * positive).astype(np.float32)
    name, image = np.nonzero(positive.T)
    values = np.full(len(name), POSITIVE, np.int8)
    return scores, positive, Labeled(NAMES, tuple(map(str, range(num))), image, name, values, complete=True)


def judged(options: Options = USUAL, leaks: tuple[Leak, ...] = (), unseen: tuple[str, ...] = ()):
    scores, _, labeled = made()
    return judge(scores, labeled, MAPPING, np.full(5, 0.5), leaks, unseen, options)


def test_the_summary_is_of_names_with_positives_and_lists_the_others() -> None:
    scores, positive, _ = made()
    summary = judged().summary
    values, _ = average_precisions(scores, positive)
    assert summary["mAP"] == pytest.approx(np.nanmean(values))
    assert summary["without_positives"] == ["nothing"]
    assert summary["chance_mAP"] == pytest.approx(positive[:, :4].mean())
    assert (summary["num_images"], summary["num_names"], summary["num_positives"]) == (80, 5, positive.sum())


def test_groups_hold_each_name_once_and_have_the_means_of_their_names() -> None:
    found = judged()
    table = found.per_name.set_index("name")
    for key in ("per_kind", "per_training_frequency", "per_positives"):
        assert sum(group["num_names"] for group in found.summary[key].values()) == 5
    kinds = found.summary["per_kind"]
    assert set(kinds) == {"object", "attribute", "no tag"}
    assert kinds["object"]["mAP"] == pytest.approx(table.loc[["dog", "cat"], "average_precision"].mean())
    assert kinds["no tag"]["num_judged"] == 1
    bands = found.summary["per_training_frequency"]
    assert list(bands) == ["no tag", "1-9", "10-99", "1000-9999"]
    assert bands["10-99"]["f1"] == pytest.approx(table.loc["cat", "f1"])


@pytest.mark.parametrize(
    ("number", "band"), [(0, "0"), (1, "1-9"), (9, "1-9"), (10, "10-99"), (9999, "1000-9999"), (10_000, "10000+")]
)
def test_bands_touch_and_do_not_overlap(number: int, band: str) -> None:
    assert band_of(number) == band


def test_unseen_names_count_with_and_without_their_leaks() -> None:
    found = judged(leaks=(Leak("cat", "cat", "name"),), unseen=("cat", "red"))
    table = found.per_name.set_index("name")["average_precision"]
    assert found.summary["mAP_unseen"] == pytest.approx(table[["cat", "red"]].mean())
    assert found.summary["mAP_unseen_without_leaks"] == pytest.approx(table["red"])
    assert found.summary["unseen"] == {"num": 2, "leaks": [{"name": "cat", "tag": "cat", "how": "name"}]}


def test_a_lower_threshold_never_has_less_recall() -> None:
    found = judged(Options(num_resamples=0, thresholds=(0.2, 0.5, 0.9)))
    recalls = [at["recall_macro"] for at in found.summary["at_thresholds"]]
    assert recalls == sorted(recalls, reverse=True)
    assert found.summary["at_thresholds"][1]["f1_macro"] == pytest.approx(found.summary["f1_macro"])
    assert "mAP_ci95" not in found.summary
    assert "ap_low" not in found.per_name


def test_intervals_hold_their_estimates() -> None:
    found = judged()
    for key in ("mAP", "f1_macro", "f1_micro"):
        low, high = found.summary[f"{key}_ci95"]
        assert low <= found.summary[key] <= high
    rows = found.per_name.dropna(subset=["average_precision"])
    assert (rows["ap_low"] <= rows["average_precision"]).all()
    assert (rows["ap_high"] >= rows["average_precision"]).all()


def test_the_difference_of_a_model_from_itself_is_nothing_and_a_paired_one_is_surer_than_two() -> None:
    scores, _, labeled = made()
    options = Options(num_resamples=100)
    one = judge(scores, labeled, MAPPING, np.full(5, 0.5), [], [], options)
    noise = np.random.default_rng(1).normal(size=scores.shape).astype(np.float32) * 0.05
    other = judge(scores + noise, labeled, MAPPING, np.full(5, 0.5), [], [], options)
    assert difference(one, one) == {"mAP": 0.0, "mAP_ci95": [0.0, 0.0]}
    found = difference(other, one)
    assert found["mAP"] == pytest.approx(other.summary["mAP"] - one.summary["mAP"])
    width = np.diff(found["mAP_ci95"])[0]
    assert 0 < width < np.diff(one.summary["mAP_ci95"])[0]


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a threshold lies between 0 and 1, got 1\.5"):
        Options(thresholds=(0.5, 1.5))
    with pytest.raises(ValueError, match="must be 0 or more, got -1"):
        Options(num_resamples=-1)
