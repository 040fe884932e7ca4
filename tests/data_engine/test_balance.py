from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ram.data_engine.balance import BalanceParams, balance
from ram.io.tables import Table, as_arrow, write_part
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact

PARAMS = BalanceParams(max_inflation=2.0, num_paired_tags=10, min_pair_images=1, num_shown=50)
TAGS = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(["cat", "dog", "sofa", "rug"])])
ORIGINS = ["caption", "implied", "predicted", "generated_caption"]
# Of every (image, tag): no row, or its origin and whether it was kept.
Rows = dict[tuple[int, int], tuple[str, bool]]
ROWS = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 3)), st.tuples(st.sampled_from(ORIGINS), st.booleans()), max_size=32
)


def tables(root: Path, rows: Rows, num_parts: int) -> tuple[Table, Table]:
    frame = pd.DataFrame(
        [{"image_id": f"i{i}", "tag_id": t, "origin": o, "kept": k, "image": i} for (i, t), (o, k) in sorted(rows.items())],
        columns=["image_id", "tag_id", "origin", "kept", "image"],
    ).astype({"tag_id": "int32", "kept": bool, "image": int})  # fmt: skip
    found = []
    for name in ("generated_tags", "cleaned_tags"):
        schema = artifact(name).schema
        assert schema is not None
        for part in range(num_parts):
            own = frame[frame["image"] % num_parts == part].copy()
            for column in schema:
                if column.name not in own:
                    own[column.name] = "v" if column.name in ("model_version", "reason", "detector") else 0.5
            write_part(as_arrow(own, schema), root / name, part, schema)
        found.append(Table(root / name, schema))
    return found[0], found[1]


def sets(rows: Rows) -> dict[str, set[tuple[int, int]]]:
    return {
        "parsed": {key for key, (origin, _) in rows.items() if origin in ("caption", "implied")},
        "generated": set(rows),
        "cleaned": {key for key, (_, kept) in rows.items() if kept},
    }


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_counts_changes_and_pairs_are_those_of_plain_sets(tmp_path_factory: pytest.TempPathFactory, rows: Rows) -> None:
    report = balance(*tables(tmp_path_factory.mktemp("t"), rows, 2), 8, TAGS, PARAMS)
    by_step = sets(rows)
    for step, keys in by_step.items():
        assert report["steps"][step]["num_rows"] == len(keys)
        assert [report["tags"][name][step] for name in TAGS.names] == [sum(t == k for _, t in keys) for k in range(4)]
    for name, (before, after) in {"generation": ("parsed", "generated"), "both": ("parsed", "cleaned")}.items():
        changed = {image for image, _ in by_step[before] ^ by_step[after]}
        assert report["changed_images"][name] == {"num": len(changed), "share": len(changed) / 8}
    for pair in itertools.chain(*report["pairs"].values()):
        a, b = (TAGS.names.index(name) for name in pair["tags"])
        for step, keys in by_step.items():
            both = sum((i, a) in keys and (i, b) in keys for i in range(8))
            counts = [sum(t == k for _, t in keys) for k in (a, b)]
            assert pair["num_images"][step] == both
            assert pair["lift"][step] == pytest.approx((both + 1) / (counts[0] * counts[1] / 8 + 1))


def test_tags_that_generation_multiplies_are_named_the_worst_first(tmp_path: Path) -> None:
    rows: Rows = {(i, 0): ("caption" if i < 2 else "predicted", True) for i in range(5)}
    rows |= {(i, 1): ("predicted", i < 2) for i in range(4)}
    rows |= {(i, 2): ("caption" if i < 2 else "predicted", True) for i in range(4)}
    report = balance(*tables(tmp_path, rows, 1), 8, TAGS, PARAMS)
    assert report["inflated"] == [
        {"name": "dog", "ratio": 4.0, "parsed": 0, "generated": 4, "cleaned": 2},
        {"name": "cat", "ratio": 2.5, "parsed": 2, "generated": 5, "cleaned": 5},
    ]


def test_pairs_that_the_engine_joins_come_first_and_those_it_parts_stand_apart(tmp_path: Path) -> None:
    rows: Rows = {(i, 0): ("caption", True) for i in range(4)} | {(i, 1): ("caption", i >= 4) for i in range(6)}
    rows |= {(i, 2): ("predicted" if i < 4 else "caption", i < 4) for i in range(8)}
    report = balance(*tables(tmp_path, rows, 1), 8, TAGS, PARAMS)
    assert report["pairs"]["closer"][0]["tags"] == ["cat", "sofa"]
    assert report["pairs"]["apart"][0]["tags"] == ["cat", "dog"]


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    generated, cleaned = tables(tmp_path, {(0, 0): ("caption", True)}, 2)
    cleaned.part_paths = cleaned.part_paths[:1]
    with pytest.raises(ValueError, match="run clean_tags again"):
        balance(generated, cleaned, 1, TAGS, PARAMS)


@pytest.mark.parametrize("parameter", ["max_inflation", "num_shown"])
def test_params_without_meaning_are_refused(parameter: str) -> None:
    values = {"max_inflation": 2.0, "num_paired_tags": 1, "min_pair_images": 1, "num_shown": 1, parameter: 0}
    with pytest.raises(ValueError, match=parameter):
        BalanceParams(**values)  # type: ignore[arg-type]
