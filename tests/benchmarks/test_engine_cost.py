from __future__ import annotations

import pytest

from benchmarks.engine_cost import exponent, projection


def test_the_exponent_of_a_power_is_found() -> None:
    sizes = [100, 1000, 10_000]
    factor, power = exponent(sizes, [3e-4 * size**1.7 for size in sizes])
    assert (factor, power) == (pytest.approx(3e-4), pytest.approx(1.7))


def test_the_projection_adds_up_what_it_shows() -> None:
    clusters = {1000: 1.0, 2000: 2.0, 4000: 3.0}  # linear up to the 2,000 that are fitted, then half as dear
    lines = projection({"score_images": 100.0, "score_images, no captions": 900.0}, 4585 / 14_000, 2000, clusters)
    # 1,000 rows a tag: all are fitted, 1 s each
    assert "14,000,000 / 100.0 a second / 3600 = 39 core hours" in lines[1]
    assert "1,000 a tag" in lines[2]
    assert "= 1.0 s to fit a sample + 0.0 s for the other regions) / 3600 = 1 core hours" in lines[3]
    assert lines[4].split() == ["together", "40", "core", "hours", "/", "64", "=", "0.6", "hours"]
    more = projection({}, 4585 * 6 / 14_000, 2000, clusters)
    # 6,000 a tag: 2,000 fitted in 2 s, 4,000 others at 0.5 ms
    assert "= 2.0 s to fit a sample + 2.0 s for the other regions) / 3600 = 5 core hours" in more[2]
    with pytest.raises(ValueError, match="two numbers of regions up to"):
        projection({}, 1.0, 500, clusters)
