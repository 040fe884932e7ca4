from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ram.io.tables import Table, write_table
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import CATALOG
from ram.stages.check_tables import ITEMS, Inputs, Outputs, Params, run
from ram.validation.data_docs import external_references
from ram.validation.suites import PairBounds, RemovalBounds, TagBounds

BOUNDS = TagBounds(
    min_rows=1, min_mean_tags=1, max_mean_tags=10, max_tags=50, max_share_without_tags=0.5,
    max_share_of_one_tag=0.9, max_drift=0.1,
)  # fmt: skip
PARAMS = Params(
    pairs=PairBounds(min_rows=1, max_captions=5, max_share_of_one_caption=0.5, max_share_refused=0.2),
    parsed_tags=BOUNDS,
    generated_tags=BOUNDS,
    cleaned_tags=BOUNDS,
    removed=RemovalBounds(min_share=0.0, max_share=0.5),
    rows_per_batch=7,
)
NUM_IMAGES = 10
LABELS = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(("cat", "dog", "tree"))])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    rows = [
        {
            "image_id": f"s/{i}", "source": "s", "split": "train", "shard": "a.tar", "member": "m", "offset": 0,
            "num_bytes": 1, "width": 8, "height": 8, "sha256": "", "perceptual_hash": "",
        }
        for i in range(NUM_IMAGES)
    ]  # fmt: skip
    write_table(rows, tmp_path / "images", CATALOG["images"].schema)
    refused = [{"source": "s", "key": "x", "reason": "broken", "detail": ""}]
    write_table(refused, tmp_path / "quarantine", CATALOG["quarantine"].schema)
    (tmp_path / "state").mkdir()
    return tmp_path


def check(workspace: Path, name: str, rows: list[dict[str, Any]], params: Params = PARAMS) -> Outputs:
    schema, path = CATALOG[name].schema, workspace / "table"
    for part in path.glob("*"):
        part.unlink()
    filler = {column.name: None if column.nullable else 0.5 for column in schema}
    write_table([filler | row for row in rows], path, schema)
    (workspace / "scratch").mkdir(exist_ok=True)
    inputs = Inputs(
        table=Table(path, schema),
        images=Table(workspace / "images", CATALOG["images"].schema),
        label_system=None if name == "pairs" else LABELS.to_json(),
        quarantine=Table(workspace / "quarantine", CATALOG["quarantine"].schema) if name == "pairs" else None,
        state=workspace / "state",
        scratch=workspace / "scratch",
    )
    return run(inputs, params)


def cleaned(image: int, tag_id: int, **values: Any) -> dict[str, Any]:
    row = {
        "image_id": f"s/{image}", "tag_id": tag_id, "origin": "predicted", "score": 0.5, "kept": True, "reason": None,
        "outlier_score": None, "image_score": 0.5, "region_score": 0.5, "x0": 0.1, "y0": 0.1, "x1": 0.9, "y1": 0.9,
    }  # fmt: skip
    return row | values


def good_rows(offset: int = 0) -> list[dict[str, Any]]:
    return [cleaned(i, (i + j + offset) % 3) for i in range(NUM_IMAGES) for j in range(2)]


def failed(report: dict[str, Any]) -> set[str]:
    return {expectation["name"] for expectation in report["expectations"] if not expectation["passed"]}


def test_a_good_table_passes_and_its_docs_need_no_network(workspace: Path) -> None:
    report, docs = check(workspace, "cleaned_tags", good_rows())
    assert report["passed"]
    assert report["failures"] == []
    assert report["num_rows"] == 20
    assert "tag_drift" not in {e["name"] for e in report["expectations"]}
    assert any("First good run" in note for note in report["notes"])
    pages = {page.relative_to(docs).as_posix(): page.read_text() for page in docs.rglob("*.html")}
    assert any(name.startswith("validations/rows/") for name in pages)
    for name, page in pages.items():
        assert not external_references(page), name
        assert "<script" not in page, name
        for link in re.findall(r'href="([^"#]+)"', page):
            assert (docs / name).parent.joinpath(link).resolve().is_file(), (name, link)


def test_every_broken_rule_is_named_and_shown(workspace: Path) -> None:
    broken = [
        cleaned(0, 0),  # stands there twice
        cleaned(0, 7),  # no such tag
        cleaned(99, 0),  # no such image
        cleaned(1, 1, score=1.5),
        cleaned(2, 1, reason="cluster_outlier"),
        cleaned(3, 1, kept=False),
        cleaned(4, 1, origin="human", kept=False, reason="cluster_outlier"),
        cleaned(5, 1, origin="guess"),
        cleaned(6, 1, x0=0.9, x1=0.1),
    ]
    report, docs = check(workspace, "cleaned_tags", good_rows()[:1] + good_rows()[2:] + broken)
    assert not report["passed"]
    assert failed(report) >= {
        "rows_unique", "tag_known", "image_known", "score_range", "kept_has_no_reason", "removed_has_reason",
        "human_kept",
        "origin_known", "x0_before_x1",
    }  # fmt: skip
    (score,) = (e for e in report["expectations"] if e["name"] == "score_range")
    assert score["num_unexpected"] == 1
    assert score["examples"] == [{"score": 1.5, "image_id": "s/1", "tag_id": 1}]
    assert any("score lies between 0 and 1: 1 of 28 rows do not, for example" in f for f in report["failures"])
    assert "failed" in (docs / "index.html").read_text()


def test_bounds_on_totals_are_checked(workspace: Path) -> None:
    everywhere = [cleaned(i, 0, kept=i < 4, reason=None if i < 4 else "cluster_outlier") for i in range(NUM_IMAGES)]
    report, _ = check(workspace, "cleaned_tags", everywhere)
    assert failed(report) == {"images_without_tags", "share_removed"}
    assert any("have no tag: it is 0.6" in failure for failure in report["failures"])


def test_an_empty_table_fails_for_having_too_few_rows(workspace: Path) -> None:
    report, _ = check(workspace, "cleaned_tags", [])
    assert {"enough_rows", "images_without_tags"} <= failed(report)


def test_drift_is_measured_against_the_last_good_run_and_a_bad_run_does_not_become_it(workspace: Path) -> None:
    first = [cleaned(i, i % 2) for i in range(NUM_IMAGES)]
    other = [cleaned(i, 2) for i in range(8)]
    assert check(workspace, "cleaned_tags", first).report["passed"]
    for _ in range(2):
        report, _ = check(workspace, "cleaned_tags", other)
        assert failed(report) == {"tag_drift"}
    assert any("most moved: tree 0.00% -> 100.00%" in note for note in report["notes"])
    assert check(workspace, "cleaned_tags", first).report["passed"]


def test_the_same_table_again_has_the_same_report_so_a_killed_run_leaves_no_trace(workspace: Path) -> None:
    reports = [check(workspace, "cleaned_tags", good_rows()).report for _ in range(2)]
    assert reports[0] == reports[1]
    changed = [check(workspace, "cleaned_tags", good_rows()[:-1]).report for _ in range(2)]
    assert changed[0] == changed[1]
    assert "tag_drift" in {e["name"] for e in changed[0]["expectations"]}


def test_a_rule_that_only_warns_lets_the_table_pass(workspace: Path) -> None:
    rows = [cleaned(i, 0) for i in range(4)]
    report, _ = check(workspace, "cleaned_tags", rows, replace(PARAMS, warn_only=("images_without_tags",)))
    assert report["passed"]
    assert failed(report) == {"images_without_tags"}
    assert len(report["warnings"]) == 1


def test_an_unknown_rule_in_warn_only_is_refused(workspace: Path) -> None:
    with pytest.raises(ValueError, match=r"no rule called no_such_rule; known: .*tag_drift"):
        check(workspace, "cleaned_tags", good_rows(), replace(PARAMS, warn_only=("no_such_rule",)))


def test_pairs_are_checked_without_a_label_system(workspace: Path) -> None:
    good = [
        {"image_id": f"s/{i}", "split": "train", "caption_index": j, "caption": f"a cat number {i} {j}"}
        for i in range(3)
        for j in range(2)
    ]
    assert check(workspace, "pairs", good).report["passed"]
    bad = [
        {"image_id": "s/0", "split": "test", "caption_index": 2, "caption": "x"},
        {"image_id": "s/1", "split": "train", "caption_index": 2, "caption": " . "},
        {"image_id": "s/2", "split": "train", "caption_index": 0, "caption": "again"},
    ]
    report = check(workspace, "pairs", good + bad).report
    assert failed(report) == {"split_of_image", "caption_not_empty", "pairs_unique"}


@pytest.mark.parametrize("name", ["parsed_tags", "generated_tags"])
def test_the_other_tables_of_tags_are_checked_by_their_own_schema(workspace: Path, name: str) -> None:
    extra = {"parsed_tags": {"caption_indices": [0]}, "generated_tags": {"image_score": 0.2, "model_version": "v"}}[
        name
    ]
    rows = [
        {"image_id": f"s/{i}", "tag_id": i % 3, "origin": "caption", "score": 1.0, **extra} for i in range(NUM_IMAGES)
    ]
    report = check(workspace, name, rows).report
    assert report["table"] == name
    assert report["passed"]


def test_items_name_artifacts_of_the_catalog() -> None:
    for fields in ITEMS.values():
        assert all(artifact is None or artifact in CATALOG for artifact in fields.values())


def test_too_much_in_quarantine_fails_the_pairs(workspace: Path) -> None:
    rows = [
        {"image_id": f"s/{i}", "split": "train", "caption_index": 0, "caption": f"caption {i}"}
        for i in range(NUM_IMAGES)
    ]
    assert "share_refused" not in failed(check(workspace, "pairs", rows)[0])
    refused = [{"source": "s", "key": f"{i}", "reason": "broken", "detail": ""} for i in range(NUM_IMAGES)]
    write_table(refused, workspace / "quarantine", CATALOG["quarantine"].schema)
    assert "share_refused" in failed(check(workspace, "pairs", rows)[0])
