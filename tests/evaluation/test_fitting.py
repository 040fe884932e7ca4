from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ram.evaluation.calibration import expected_calibration_error, fit
from ram.evaluation.fitting import ThresholdParams, fit_thresholds, halves
from ram.evaluation.thresholds import TagScores

PARAMS = ThresholdParams(
    target="f1",
    min_precision=0.8,
    prior_positives=10.0,
    min_kind_positives=5,
    min_open_set_positives=20,
    open_set_factor=0.8,
    calibration="platt",
)
NUM_IMAGES = 301  # odd, so that neighboring scores of the joined tags are not of one half


def tag(name: str, seed: int, temperature: float = 2.0, shift: float = -1.0) -> TagScores:
    """Scores of every image whose true calibration is this."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, NUM_IMAGES)
    positive = generator.random(NUM_IMAGES) < 1 / (1 + np.exp(-(logits / temperature + shift)))
    return TagScores(name, "object", 1 / (1 + np.exp(-logits)), positive, np.arange(NUM_IMAGES))


TRAINED = [tag(f"t{i}", i) for i in range(12)]
UNTRAINED = [tag(f"u{i}", 100 + i, temperature=5.0, shift=0.0) for i in range(12)]


def joined(tags: list[TagScores]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.concatenate([getattr(t, f) for t in tags]) for f in ("scores", "positive", "images"))  # type: ignore[return-value]


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic"])
def test_the_error_after_is_of_images_that_the_fit_has_not_seen(method) -> None:
    document = fit_thresholds(TRAINED, [], dataclasses.replace(PARAMS, calibration=method))
    scores, positive, images = joined(TRAINED)
    wanted = []
    for seen in (0, 1):
        fitted_on, judged_by = images % 2 == seen, images % 2 != seen
        assert not set(images[fitted_on]) & set(images[judged_by])
        probabilities = fit(scores[fitted_on], positive[fitted_on], method)(scores[judged_by])
        wanted.append(expected_calibration_error(probabilities, positive[judged_by]))
    assert document["ece_after"] == pytest.approx(np.mean(wanted))
    assert document["ece_before"] == pytest.approx(expected_calibration_error(scores, positive))
    # A temperature alone cannot mend the bias that these labels were drawn with.
    assert document["ece_after"] < document["ece_before"] * (1 if method == "temperature" else 0.5)
    json.dumps(document, allow_nan=False)


def test_new_tags_have_the_temperature_of_the_tags_left_out() -> None:
    document = fit_thresholds(TRAINED, UNTRAINED, PARAMS)
    scores, positive, _ = joined(UNTRAINED)
    found = document["open_set_calibration"]
    assert found["temperature"] == pytest.approx(fit(scores, positive, "temperature").to_json()["temperature"])
    assert found["temperature"] == pytest.approx(5.0, rel=0.15)
    assert found["bias"] == 0
    assert document["temperature"] == pytest.approx(2.0, rel=0.15)
    assert found["ece_after"] < found["ece_before"]


def test_too_few_labels_of_tags_left_out_give_no_temperature_and_none_wanted_changes_nothing() -> None:
    params = dataclasses.replace(PARAMS, min_open_set_positives=10**6)
    document = fit_thresholds(TRAINED, UNTRAINED, params)
    assert document["open_set_calibration"] is None
    assert document["open_set"] == pytest.approx(0.8 * document["default"])
    plain = fit_thresholds(TRAINED, UNTRAINED, dataclasses.replace(PARAMS, calibration="none"))
    assert plain["open_set_calibration"]["temperature"] == plain["temperature"] == 1
    assert plain["ece_after"] == pytest.approx(plain["ece_before"], abs=0.02)


def test_one_image_has_no_halves() -> None:
    assert halves(np.zeros(7, np.int64)) == []


@pytest.mark.parametrize("parameter", ["target", "calibration"])
def test_unknown_words_are_refused(parameter: str) -> None:
    with pytest.raises(ValueError, match=f"unknown {parameter} 'best'; known: "):
        dataclasses.replace(PARAMS, **{parameter: "best"})
