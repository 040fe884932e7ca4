from __future__ import annotations

import pandas as pd

from ram.reports.run.page import benchmark_views, tag_view


def facts(mean_ap: float | None, interval: list[float] | None = None) -> dict:
    kinds = {"object": {"mAP": mean_ap, "num_tags": 3}}
    return {
        "mAP": mean_ap,
        "mAP_ci95": interval,
        "mAP_seen": mean_ap,
        "mAP_unseen": None,
        "chance_mAP": 0.1,
        "per_kind": kinds,
    }


def test_bars_are_as_wide_as_their_share_of_the_highest_end_of_an_interval() -> None:
    evaluation = {"preliminary": {"b": facts(0.2, [0.1, 0.4])}, "finetuned": {"b": facts(0.5, [0.4, 0.8])}}
    (view,) = benchmark_views(evaluation)
    assert [round(bar["width"], 3) for bar in view["bars"]] == [25.0, 62.5]
    assert round(view["bars"][0]["low"], 3) == 12.5
    assert round(view["bars"][0]["span"], 3) == 37.5


def test_columns_that_no_model_has_are_left_out() -> None:
    (view,) = benchmark_views({"finetuned": {"b": facts(0.5)}})
    assert view["columns"] == ["mAP seen"]
    assert view["rows"][0]["values"] == [0.5]


def test_a_benchmark_without_any_value_has_empty_bars() -> None:
    (view,) = benchmark_views({"finetuned": {"b": facts(None)}})
    assert view["bars"][0]["width"] == 0


def test_best_and_worst_do_not_overlap_and_thresholds_are_found_by_the_tag_that_a_name_means() -> None:
    same = {"benchmark": "b", "seen": True, "num_positives": 2, "precision": 1.0, "recall": None}
    rows = [
        {**same, "model": m, "name": n, "average_precision": ap}
        for m, add in (("preliminary", 0.0), ("finetuned", 0.1))
        for n, ap in (("dogs", 0.8 + add), ("cat", 0.5 + add), ("sky", None))
    ]
    evaluation = {"finetuned": {"b": {"mapping": {"synonym": {"dogs": "dog"}}}}}
    (view,) = tag_view(pd.DataFrame(rows), evaluation, {"tags": {"dog": 0.3}}, num=1)
    best, worst = view["groups"]["Best"], view["groups"]["Worst"]
    assert [row["name"] for row in best + worst] == ["dogs", "cat"]
    assert (best[0]["threshold"], best[0]["before"], worst[0]["threshold"]) == (0.3, 0.8, None)
    assert best[0]["recall"] is None
