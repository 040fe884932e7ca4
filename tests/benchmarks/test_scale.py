from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from benchmarks import scale
from benchmarks.workspaces import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("start", "factor", "power"), [(5.0, 0.01, 1.0), (0.0, 2e-4, 1.6)])
def test_the_power_under_a_start_is_found_and_carried_on(start: float, factor: float, power: float) -> None:
    sizes = [200, 2000, 20_000]
    costs = [start + factor * size**power for size in sizes]
    assert scale.exponent(costs, 10) == pytest.approx(power)
    assert scale.projected(costs, sizes, 14_000_000) == pytest.approx(start + factor * 14_000_000**power)


def test_a_curve_that_flattens_is_carried_on_as_a_line_through_the_last_two() -> None:
    sizes, costs = [200, 2000, 20_000], [30 + 0.3 * size**0.5 for size in (200, 2000, 20_000)]
    assert scale.exponent(costs, 10) == pytest.approx(0.5)
    slope = (costs[2] - costs[1]) / (sizes[2] - sizes[1])
    assert scale.projected(costs, sizes, 14_000_000) == pytest.approx(costs[2] + slope * (14_000_000 - 20_000))


@pytest.mark.parametrize("costs", [(5.0, 5.0, 5.0), (5.0, 4.9, 4.8), (5.0, 6.0, 6.0)])
def test_what_does_not_grow_has_no_power_and_costs_the_same(costs: tuple[float, float, float]) -> None:
    assert scale.exponent(costs, 10) is None
    assert scale.projected(costs, [1, 10, 100], 1000) == max(costs)


def test_what_grows_at_the_last_step_alone_is_carried_on_as_a_line() -> None:
    assert scale.exponent((7.0, 6.0, 15.0), 10) is None
    assert scale.projected((7.0, 6.0, 15.0), [1, 10, 100], 1000) == pytest.approx(15.0 + 900 * 0.1)


def test_a_measured_stage_is_not_run_again_and_the_table_has_every_stage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    params = tiny(yaml.safe_load((ROOT / "recipes" / "sample.yaml").read_text()))
    params["list_sources"]["sources"][0] |= {"num_train": 6, "num_finetune": 2, "num_dev": 2, "num_test": 2}
    names = ["list_sources", "ingest_pairs"]
    costs = scale.measure(tmp_path, params, names)
    assert list(costs) == names
    assert all(cost.cpu_s > 0 and cost.mib > 10 for cost in costs.values())
    (tmp_path / scale.COSTS).write_text(json.dumps({name: [1.0, 2.0] for name in names}))
    assert scale.measure(tmp_path, params, names) == dict.fromkeys(names, scale.Cost(1.0, 2.0))
    capfd.readouterr()
    scale.print_table([dict.fromkeys(names, scale.Cost(c, 100.0)) for c in (2.0, 3.0, 13.0)], [10, 100, 1000])
    lines = capfd.readouterr().out.splitlines()
    assert lines[2] == "| `list_sources` | 2.0, 200.0 | 3.0, 30.0 | 13.0, 13.0 | 1.00 | 100 | 43 |"
    assert lines[4].startswith("together 86 core hours / 64 cores = 1 hours")
    assert "the paper's 3 days are" in lines[-1]
